"""Folds the oldest part of a window into the conversation's summary: a model is asked, and a note stands in for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from agent_service import clock
from agent_service.context import summary, tokens
from agent_service.context.budget import Budget
from agent_service.context.window import Window
from agent_service.models.types import ModelAnswer, ModelRequest, ModelUsage
from agent_service.stores.views import View
from agent_service.turns.parts import Parts
from servicekit import ids
from servicekit.principal import Tenant
from triptych.agent.v1.agent_pb2 import Agent, Compaction
from triptych.errors import DeadlineExceeded, FailedPrecondition, TriptychError
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2

_log = structlog.get_logger("compaction")
_SECONDS = 60.0
# Of the summarising model's window, for what it reads; the rest is for its answer, and for an estimate that is off.
_READING_PART = 0.6
_LEAST_OUTPUT = 2_048


@dataclass(frozen=True)
class Folded:
    """What a compaction makes of a window, not yet stored. `without_model`: no model would write the summary."""

    window: Window
    evicted: int
    without_model: bool = False
    usage: ModelUsage = field(default_factory=ModelUsage)

    def event(self, agent_id: str, conversation_id: str, before: int, after: int) -> Compaction:
        """What clients are told. `before`, `after`: tokens of the whole request."""
        view = self.window.view
        made = Compaction(
            tokens_before=before,
            tokens_after=after,
            evicted_messages=self.evicted,
            without_model=self.without_model,
        )
        if view.summary:
            made.summary_message.CopyFrom(
                Message(
                    id=ids.derived("message", conversation_id, "summary", view.start),
                    agent_id=agent_id,
                    conversation_id=conversation_id,
                    role=type_pb2.ROLE_SYSTEM,
                    text=view.summary,
                    create_time=clock.timestamp(clock.now()),
                )
            )
        return made


class Compactor:
    """Stateless; what it is given is what it works on."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def fold(
        self, tenant: Tenant, agent: Agent, window: Window, leaving: Sequence[Message], budget: Budget, *, insist: bool
    ) -> Folded:
        """The window without `leaving`, its oldest messages (at least one), and with a summary that covers them.

        `insist`: raise what the model's endpoint raises; else a note stands in for the summary, and nothing is raised.
        """
        start = leaving[-1].sequence + 1
        before = window.view.summary
        try:
            text, usage = await self._summary(tenant, agent, before, leaving, budget)
        except TriptychError as error:
            if insist:
                raise
            _log.warning("compacted without a summary", reason=error.reason_name)
            noted = View(start, summary.without_model(before, leaving))
            return Folded(window.without(len(leaving), noted), len(leaving), without_model=True)
        return Folded(window.without(len(leaving), View(start, text)), len(leaving), usage=usage)

    async def _summary(
        self, tenant: Tenant, agent: Agent, before: str, leaving: Sequence[Message], budget: Budget
    ) -> tuple[str, ModelUsage]:
        """An endpoint's "too long" is met once: of a model that only writes summaries the window is not known before.

        Raises: as ModelRouter.complete, DeadlineExceeded MODEL_TIMEOUT; Unavailable MODEL_GARBAGE for no text.
        """
        request = self._request(tenant, agent, before, leaving, budget)
        try:
            answer = await self._answer(tenant, request)
        except FailedPrecondition as error:
            if error.reason != type_pb2.ERROR_REASON_CONTEXT_OVERFLOW:
                raise
            calibration, model = self._parts.calibration, request.model
            calibration.refused(
                tenant,
                model,
                window=calibration.window(tenant, model, budget.window),
                estimated=int(tokens.of_messages(request.plain) * calibration.ratio(tenant, model)),
                message=error.message,
            )
            answer = await self._answer(tenant, self._request(tenant, agent, before, leaving, budget))
        text = summary.accepted(answer.text, budget.summary)
        if not text:
            raise summary.nothing_said()
        return text, answer.usage

    def _request(
        self, tenant: Tenant, agent: Agent, before: str, leaving: Sequence[Message], budget: Budget
    ) -> ModelRequest:
        settings, calibration = agent.compaction, self._parts.calibration
        handle = settings.model or agent.model.handle
        window = calibration.window(tenant, handle, budget.window)
        room = int(window * _READING_PART / calibration.ratio(tenant, handle))
        return ModelRequest(
            model=handle,
            # A model that only writes summaries may be away, and the agent's own be there.
            fallbacks=[*([agent.model.handle] if settings.model else []), *agent.model.fallbacks],
            messages=summary.request(settings.prompt, before, leaving, room=room, length=budget.summary),
            max_output_tokens=min(max(_LEAST_OUTPUT, 2 * budget.summary), window // 4),
        )

    async def _answer(self, tenant: Tenant, request: ModelRequest) -> ModelAnswer:
        try:
            async with asyncio.timeout(_SECONDS):
                return await self._parts.model.complete(tenant, request, None)
        except TimeoutError:
            raise DeadlineExceeded(
                f"no summary within {_SECONDS:g} seconds", reason=type_pb2.ERROR_REASON_MODEL_TIMEOUT
            ) from None
