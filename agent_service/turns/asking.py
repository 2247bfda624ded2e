"""Asks the model: the context within its window, the answer, and what it cost."""

from __future__ import annotations

from datetime import datetime

from agent_service.context import build
from agent_service.models.types import ModelAnswer, ModelRequest
from agent_service.stores import conversations
from agent_service.turns import journal
from agent_service.turns.deltas import DeltaStream
from agent_service.turns.running import Running
from triptych.errors import FailedPrecondition
from triptych.type.v1 import type_pb2

_OVERFLOW_SHRINK = 0.5


class Asker:
    """Asks for one running turn. `now`: the time that the model is told, the same for the whole turn."""

    def __init__(self, running: Running, now: datetime) -> None:
        self._running, self._now = running, now

    def budget(self) -> int:
        """Tokens for the conversation itself."""
        running = self._running
        window_tokens = running.agent.model.context_window or running.parts.context_window
        return build.history_budget(running.agent, running.tools, window_tokens)

    async def ask(self, step: int) -> ModelAnswer:
        """The model's answer to what there is; a provider's "too long" is met once, by a smaller window."""
        try:
            return await self._ask_within(step, self.budget())
        except FailedPrecondition as error:
            if error.reason != type_pb2.ERROR_REASON_CONTEXT_OVERFLOW or not self._running.window.messages:
                raise
        return await self._ask_within(step, int(self.budget() * _OVERFLOW_SHRINK))

    async def _ask_within(self, step: int, budget: int) -> ModelAnswer:
        running = self._running
        unsent = journal.messages(running.feed.journalled)[running.recall.sent_messages :]
        if running.window.fit(budget, unsent, keep=running.turn.id):
            tenant, lease, start = running.tenant, running.lease, running.window.start
            await running.parts.store.write(lambda c: conversations.move_window(c, tenant, lease, start))
        built = build.build(
            running.agent,
            running.window.before(running.turn.id),
            [*running.window.of_turn(running.turn.id), *unsent],
            self._now,
            hidden=running.window.hidden,
        )
        settings = running.agent.model
        request = ModelRequest(
            model=await running.parts.model.resolve(settings.handle),
            messages=[*built.messages, *running.reminders()],
            tools=running.tools,
            temperature=settings.temperature if settings.HasField("temperature") else None,
            max_output_tokens=settings.max_output_tokens or None,
            parallel_tool_calls=settings.parallel_tool_calls if settings.HasField("parallel_tool_calls") else None,
        )
        stream = DeltaStream(lambda kind, text: running.feed.send_delta(running.events.delta(step, kind, text)))
        try:
            answer = await running.parts.model.complete(request, stream.sink() if running.feed.wants_deltas else None)
        finally:
            stream.flush()
        self._count(answer)
        return answer

    def _count(self, answer: ModelAnswer) -> None:
        usage = self._running.turn.usage
        usage.prompt_tokens += answer.usage.prompt
        usage.completion_tokens += answer.usage.completion
        usage.total_tokens += answer.usage.prompt + answer.usage.completion
        usage.cached_tokens += answer.usage.cached
        usage.reasoning_tokens += answer.usage.reasoning
        usage.step_count += 1
        usage.context_tokens = answer.usage.prompt
