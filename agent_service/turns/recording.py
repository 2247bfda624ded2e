"""Notes what a model call cost and what its request was made of. It is written with the step's own commit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from agent_service import clock
from agent_service.context.build import Built
from agent_service.models import quirks
from agent_service.models.types import Deltas, ModelAnswer, ModelRequest
from agent_service.stores import steps
from agent_service.stores.steps import Reference
from agent_service.stores.views import View
from agent_service.turns import journal, texts
from agent_service.turns.running import Running
from triptych.agent.v1.step_pb2 import Step
from triptych.agent.v1.turn_pb2 import Usage


@dataclass
class Watch:
    """Times a model call, from when it is made. Monotonic seconds."""

    began: float = field(default_factory=time.perf_counter)
    first: float | None = None

    def sink(self, onward: Deltas | None) -> Deltas:
        """Notes when the first piece comes, and hands all on."""

        def noting(hand_on: Callable[[str], None] | None) -> Callable[[str], None]:
            def piece(text: str) -> None:
                if self.first is None:
                    self.first = time.perf_counter()
                if hand_on is not None:
                    hand_on(text)

            return piece

        return Deltas(noting(onward.text if onward else None), noting(onward.reasoning if onward else None))

    @property
    def first_milliseconds(self) -> float | None:
        return None if self.first is None else 1e3 * (self.first - self.began)

    @property
    def milliseconds(self) -> float:
        return 1e3 * (time.perf_counter() - self.began)


@dataclass(frozen=True)
class Asked:
    """One model call as it was made. `view`: what the conversation's model sees once the step is stored."""

    number: int
    request: ModelRequest
    built: Built
    view: View


class Recorder:
    """The steps of one running turn."""

    def __init__(self, running: Running) -> None:
        self._running = running

    def record(self, asked: Asked, answer: ModelAnswer, watch: Watch) -> None:
        """Has the step written with the turn's next commit."""
        running = self._running
        step = self._step(asked, answer, watch)
        known = running.parts.texts
        made_of, all_texts = self._reference(asked, answer)
        new = known.new(step.conversation_id, all_texts)

        def work(connection: Connection) -> None:
            steps.add(connection, running.tenant, step, made_of, new)

        def stored() -> None:
            if new:
                known.stored(step.conversation_id, all_texts)

        running.with_next_commit(work, stored)

    def _step(self, asked: Asked, answer: ModelAnswer, watch: Watch) -> Step:
        turn = self._running.turn
        usage = answer.usage
        return Step(
            id=journal.step_id(turn.id, asked.number),
            turn_id=turn.id,
            agent_id=turn.agent_id,
            conversation_id=turn.conversation_id,
            number=asked.number,
            model=answer.model,
            finish_reason=answer.finish_reason,
            usage=Usage(
                prompt_tokens=usage.prompt,
                completion_tokens=usage.completion,
                total_tokens=usage.prompt + usage.completion,
                cached_tokens=usage.cached,
                reasoning_tokens=usage.reasoning,
                step_count=1,
                context_tokens=usage.prompt,
            ),
            tokens=asked.built.parts(),
            context_window=asked.built.budget.window,
            total_milliseconds=watch.milliseconds,
            first_token_milliseconds=watch.first_milliseconds,
            cost=self._running.parts.prices.cost(answer.model, usage),
            create_time=clock.timestamp(clock.now()),
        )

    def _reference(self, asked: Asked, answer: ModelAnswer) -> tuple[Reference, dict[str, str]]:
        """What the request was made of, and the texts that it refers to."""
        running, built, request = self._running, asked.built, asked.request
        before = built.history.messages
        in_view = running.window.messages
        of_history = len(in_view) - len(running.window.of_turn(running.turn.id))
        named = dict(zip(built.prompt.hashes, built.prompt.segments, strict=True))
        summary = built.summary[0]["content"] if built.summary else ""
        if summary:
            named[texts.digest(summary)] = summary
        tools = [running.parts.texts.of_tool(tool) for tool in request.tools]
        named.update(tools)
        reference = Reference(
            prompt=list(built.prompt.hashes),
            summary=texts.digest(summary) if summary else "",
            tools=[name for name, _ in tools],
            first=in_view[0].sequence if before else 0,
            messages=of_history + len(running.turn_messages()),
            timezone=running.agent.timezone,
            notice_step=asked.view.notice_step,
            revised=running.window.revised(),
            cuts=built.cuts.to_json(),
            settings=_settings(request, answer),
            reminder=running.reminder,
        )
        return reference, named


def _settings(request: ModelRequest, answer: ModelAnswer) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "model": answer.model,
        "temperature": request.temperature,
        "max_output_tokens": request.max_output_tokens,
        "parallel_tool_calls": request.parallel_tool_calls,
    }
    if request.response_format is not None:
        settings["response_format"] = request.response_format
    if differing := quirks.to_json(answer.quirks):
        settings["quirks"] = differing
    return settings
