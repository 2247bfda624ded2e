"""Rebuilds the request that a step sent to the model, from what it was made of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC

from sqlalchemy import Connection

from agent_service.context.render import Renderer, notice
from agent_service.context.shorten import Cuts
from agent_service.models import bodies, quirks
from agent_service.models.messages import ChatMessage
from agent_service.models.types import ModelRequest, Quirks, ToolSchema
from agent_service.store import Store
from agent_service.stores import steps, turns
from agent_service.stores.steps import Reference
from agent_service.tiers import Tiers
from agent_service.turns import journal, sleeping
from servicekit import ids
from servicekit.principal import Principal
from triptych.agent.v1.step_pb2 import GetStepContextResponse, Step
from triptych.recall.v1.recall_pb2 import Message

_PAGE = 500


@dataclass(frozen=True)
class _Kept:
    """What the store has of a step. `said`: by the turn, as its journal has it."""

    step: Step
    reference: Reference
    texts: dict[str, str]
    said: list[Message]


class Replayer:
    def __init__(self, store: Store, tiers: Tiers) -> None:
        self._store, self._tiers = store, tiers

    async def context(self, caller: Principal, step_id: str) -> GetStepContextResponse:
        """The request's body, byte for byte; where recall has changed since, as it would be with what recall has now.

        Raises: NotFound; Unavailable if recall can't be reached.
        """

        def work(connection: Connection) -> _Kept:
            step, reference = steps.get(connection, caller.tenant, step_id)
            hashes = [*reference.prompt, *reference.tools, reference.summary]
            found = steps.texts(connection, caller.tenant, step, hashes)
            turn = turns.get(connection, caller.tenant, step.turn_id)
            elsewhere = turn.thinned and not sleeping.is_sleeping(turn.turn)
            events = [] if elsewhere else turns.events(connection, caller.tenant, step.turn_id)
            return _Kept(step, reference, found, journal.messages(events))

        kept = await self._store.read(work)
        said = await self._said(caller, kept)
        body = bodies.body(*_request(kept, said))
        revised = kept.reference.revised
        return GetStepContextResponse(
            step=kept.step,
            request_json=bodies.serialized(body).decode(),
            updated_message_ids=[each.id for each in said if (each.revision or 1) != revised.get(each.id, 1)],
            missing_messages=max(0, kept.reference.messages - len(said)),
        )

    async def _said(self, caller: Principal, kept: _Kept) -> list[Message]:
        """The messages that the request was made of, in order."""
        step = kept.step
        answer_id = ids.derived("message", step.turn_id, step.number)
        found = await self._read(caller, kept, older_than=answer_id)
        if found:
            return found
        # Recall does not have the answer yet (or no longer): what the turn has said is in its journal.
        before = [
            message for message in await self._read(caller, kept, older_than="") if message.turn_id != step.turn_id
        ]
        return [*before, *_until(kept.said, step)]

    async def _read(self, caller: Principal, kept: _Kept, *, older_than: str) -> list[Message]:
        """What recall has of the range that the step refers to."""
        step, first = kept.step, kept.reference.first
        newest_first: list[Message] = []
        token = ""
        while True:
            page, token = await self._tiers.latest_messages(
                caller, step.agent_id, step.conversation_id, page_token=token, size=_PAGE, older_than=older_than
            )
            inside = [message for message in page if _belongs(message, step, first)]
            newest_first.extend(inside)
            if not token or (page and page[-1].sequence < first) or (not first and not inside):
                return newest_first[::-1]


def _belongs(message: Message, step: Step, first: int) -> bool:
    if message.turn_id == step.turn_id:
        return True
    earlier = message.create_time.ToDatetime(UTC) <= step.create_time.ToDatetime(UTC)
    return bool(first) and message.sequence >= first and earlier


def _until(messages: Sequence[Message], step: Step) -> list[Message]:
    """The turn's messages before the step's answer."""
    ended = next((at for at, message in enumerate(messages) if message.step_id == step.id), len(messages))
    return list(messages[:ended])


def _request(kept: _Kept, said: Sequence[Message]) -> tuple[ModelRequest, Quirks]:
    reference, texts, step = kept.reference, kept.texts, kept.step
    messages: list[ChatMessage] = [{"role": "system", "content": "".join(texts[name] for name in reference.prompt)}]
    if reference.summary:
        messages.append({"role": "system", "content": texts[reference.summary]})
    renderer = Renderer(reference.timezone, reference.notice_step)
    messages.extend(renderer.turns([message for message in said if message.turn_id != step.turn_id]))
    turn = renderer.turn([message for message in said if message.turn_id == step.turn_id])
    if reference.notice_step == step.id:
        turn.append(notice())
    messages.extend(Cuts.from_json(reference.cuts).apply(turn))
    if reference.reminder:
        messages.append({"role": "system", "content": reference.reminder})
    tools = [ToolSchema(*json.loads(texts[name])) for name in reference.tools]
    settings = dict(reference.settings)
    of_endpoint = quirks.from_json(settings.pop("quirks", {}))
    return ModelRequest(messages=messages, tools=tools, **settings), of_endpoint
