"""Asks the model: the context within its window, the answer, and what it cost."""

from __future__ import annotations

import json
from dataclasses import replace

from sqlalchemy import Connection

from agent_service.context.budget import Budget
from agent_service.context.build import Builder, Built, history_target, too_large
from agent_service.context.shorten import Cuts
from agent_service.models.types import ModelAnswer, ModelRequest, ModelUsage
from agent_service.stores import turns, views
from agent_service.stores.views import View
from agent_service.turns import journal
from agent_service.turns.compacting import Compactor, Folded
from agent_service.turns.deltas import DeltaStream
from agent_service.turns.recording import Asked, Recorder, Watch
from agent_service.turns.running import Running
from triptych.agent.v1.agent_pb2 import COMPACTION_MODE_UNSPECIFIED
from triptych.agent.v1.turn_pb2 import StepRestarted
from triptych.errors import FailedPrecondition
from triptych.type.v1 import type_pb2

# What stays of the conversation in view when the endpoint has refused its length.
_OVERFLOW_SHRINK = 0.5


class Asker:
    """Asks for one running turn."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._recorder = Recorder(running)
        self._compactor = Compactor(running.parts)
        self._cuts = Cuts()

    def room(self) -> int:
        """Tokens (estimated) that the conversation may take."""
        return self._builder().room(self._budget())

    async def ask(self, step: int) -> ModelAnswer:
        """The model's answer to what there is; an endpoint's "too long" is met once, by a smaller window.

        Raises: FailedPrecondition CONTEXT_OVERFLOW if it does not fit all the same; as ModelRouter.complete.
        """
        built = await self._fitted(step)
        try:
            return await self._ask(step, built)
        except FailedPrecondition as error:
            if error.reason != type_pb2.ERROR_REASON_CONTEXT_OVERFLOW:
                raise
            running = self._running
            running.parts.calibration.refused(
                running.tenant,
                running.agent.model.handle,
                window=built.budget.window,
                estimated=built.parts().total,
                message=error.message,
            )
        return await self._ask(step, await self._fitted(step, at_most=int(built.conversation * _OVERFLOW_SHRINK)))

    def _budget(self) -> Budget:
        return self._running.parts.budget(self._running.tenant, self._running.agent)

    def _builder(self) -> Builder:
        return Builder(self._running.parts.compiler, self._running.agent, self._running.tools)

    async def _fitted(self, step: int, at_most: int | None = None) -> Built:
        """The request within the model's window; the oldest turns leave if they have to.

        `at_most`: what of the conversation may stay in view, in estimated tokens. Raises: FailedPrecondition
        CONTEXT_OVERFLOW, if what can't leave is too much.
        """
        built = self._build(self._budget())
        room = built.room if at_most is None else min(built.room, at_most)
        if built.conversation > room and built.history.messages:
            target = history_target(
                self._running.agent, COMPACTION_MODE_UNSPECIFIED, room - built.cuts.cost(built.turn)
            )
            built = await self._compact(step, built, target)
        if not built.fits:
            raise too_large(built)
        self._cuts = built.cuts
        return built

    def _build(self, budget: Budget) -> Built:
        running = self._running
        return self._builder().build(budget, running.window, running.turn.id, running.turn_messages(), self._cuts)

    async def _compact(self, step: int, built: Built, target: int) -> Built:
        """Brings history down to `target` tokens; gives the request as it then is."""
        running = self._running
        leaving = running.window.leaving(target, running.turn.id) or running.window.leaving(0, running.turn.id)
        folded = await self._compactor.fold(
            running.tenant, running.agent, running.window, leaving, built.budget, insist=False
        )
        before, running.window = running.window, folded.window
        # With the window the notice in the turn goes, and so the places that were cut are others now.
        self._cuts = Cuts()
        smaller = self._build(built.budget)
        try:
            await self._store(step, folded, built, smaller)
        except BaseException:
            running.window = before
            raise
        running.parts.windows.put(running.turn.conversation_id, folded.window)
        _add(running, folded.usage)
        return smaller

    async def _store(self, step: int, folded: Folded, built: Built, smaller: Built) -> None:
        """Commits the compaction and its event, under the lease. Raises: FailedPrecondition FENCED."""
        running = self._running
        turn = running.turn
        event = folded.event(turn.agent_id, turn.conversation_id, built.parts().total, smaller.parts().total)
        made = running.numbered([running.events.journalled(step, compaction=event)])

        def work(connection: Connection) -> None:
            turns.commit(connection, running.tenant, running.lease, turn, made)
            views.write(connection, running.tenant, turn.conversation_id, folded.window.view)

        await running.journal(work, lambda _: made)
        running.send(made)

    async def _ask(self, step: int, built: Built) -> ModelAnswer:
        running = self._running
        view = running.window.view
        if built.presses and not view.notice_step and running.tools:
            view = replace(view, notice_step=journal.step_id(running.turn.id, step))
            built = built.noticed()
        request = self._request(built)
        stream = DeltaStream(lambda kind, text: running.feed.send_delta(running.events.delta(step, kind, text)))
        watch = Watch()

        async def again() -> None:
            """What was shown of the answer does not count: it broke off."""
            stream.flush()
            restarted = StepRestarted(step_id=journal.step_id(running.turn.id, step))
            await running.commit([running.events.journalled(step, step_restarted=restarted)])

        try:
            answer = await running.parts.model.complete(
                running.tenant, request, watch.sink(stream.sink() if running.feed.wants_deltas else None), again
            )
        finally:
            stream.flush()
        self._noted(Asked(step, request, built, view), answer, watch)
        return answer

    def _request(self, built: Built) -> ModelRequest:
        running = self._running
        settings, started = running.agent.model, running.claimed.record.request
        wanted = started.response_format or settings.response_format
        return ModelRequest(
            model=settings.handle,
            messages=[*built.messages, *running.reminders()],
            tools=running.tools,
            temperature=settings.temperature if settings.HasField("temperature") else None,
            max_output_tokens=min(settings.max_output_tokens, built.budget.answer) or None,
            parallel_tool_calls=settings.parallel_tool_calls if settings.HasField("parallel_tool_calls") else None,
            response_format=json.loads(wanted) if wanted else None,
            fallbacks=settings.fallbacks,
        )

    def _noted(self, asked: Asked, answer: ModelAnswer, watch: Watch) -> None:
        """Takes the answer's usage in, and has the step stored."""
        running = self._running
        estimated = int(asked.built.parts().total / asked.built.budget.ratio)
        running.parts.calibration.observe(
            running.tenant, running.agent.model.handle, estimated=estimated, reported=answer.usage.prompt
        )
        _add(running, answer.usage)
        running.turn.usage.step_count += 1
        running.turn.usage.context_tokens = answer.usage.prompt
        self._recorder.record(asked, answer, watch)
        if asked.view != running.window.view:
            self._remember_notice(asked.view)

    def _remember_notice(self, view: View) -> None:
        running = self._running
        conversation_id = running.turn.conversation_id

        def told() -> None:
            running.window.view = view

        running.with_next_commit(lambda c: views.write(c, running.tenant, conversation_id, view), told)


def _add(running: Running, used: ModelUsage) -> None:
    running.parts.meter.report(running.tenant, tokens=used.prompt + used.completion)
    usage = running.turn.usage
    usage.prompt_tokens += used.prompt
    usage.completion_tokens += used.completion
    usage.total_tokens += used.prompt + used.completion
    usage.cached_tokens += used.cached
    usage.reasoning_tokens += used.reasoning
