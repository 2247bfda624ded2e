"""Turns that no runner runs: which there are, how one ends that has not begun, and how recall gets what is left."""

from __future__ import annotations

import asyncio
from typing import Any

from agent_service import clock
from agent_service.stores import conversations, replicas, turns, unfinished
from agent_service.stores.turns import TurnRecord
from agent_service.stores.unfinished import Unfinished
from agent_service.turns.feed import Feed
from agent_service.turns.parts import Parts
from agent_service.turns.recall_log import RecallLog
from servicekit.principal import Principal
from triptych.agent.v1 import turn_pb2
from triptych.agent.v1.turn_pb2 import TurnDone, TurnEvent
from triptych.errors import NotFound

# How long a turn that could not go on (a full disk) rests until it is tried again: twice as long each time.
_FIRST_REST_SECONDS, _LONGEST_REST_SECONDS = 1.0, 300.0


class Resting:
    """Turns that could not go on, until when each is left alone; by the loop's clock."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def __contains__(self, turn_id: str) -> bool:
        return self._until.get(turn_id, 0.0) > asyncio.get_running_loop().time()

    def add(self, record: TurnRecord) -> None:
        now = asyncio.get_running_loop().time()
        wait = min(_FIRST_REST_SECONDS * 2.0 ** min(record.attempt, 20), _LONGEST_REST_SECONDS)
        self._until = {turn_id: until for turn_id, until in self._until.items() if until > now}
        self._until[record.turn.id] = now + wait


async def left(parts: Parts) -> list[Unfinished]:
    """Turns that no other process runs that is there, or brings to recall; those that run here are among them."""
    me = parts.process_id
    found, elsewhere = await parts.store.read(lambda c: (unfinished.every(c), replicas.living(c, me)))
    ours = [each for each in found if each.owner not in elsewhere]
    # What has ended under this process is on its way to recall.
    return [each for each in ours if each.live or each.owner != me]


async def load(parts: Parts, found: Unfinished) -> tuple[TurnRecord, list[TurnEvent]] | None:
    """The turn and its journal; None if it was deleted meanwhile."""
    tenant, turn_id = found.tenant, found.turn_id
    record, journalled = await parts.store.read(
        lambda c: (turns.find(c, tenant, turn_id), turns.events(c, tenant, turn_id))
    )
    return (record, journalled) if record is not None else None


async def end(
    parts: Parts,
    record: TurnRecord,
    feed: Feed,
    state: turn_pb2.TurnState.ValueType,
    reason: turn_pb2.StopReason.ValueType,
) -> None:
    """Ends a turn that has not begun, with the error that it has, if any."""
    turn = record.turn
    turn.state, turn.stop_reason = state, reason
    turn.end_time.CopyFrom(clock.timestamp(clock.now()))
    ending: list[dict[str, Any]] = [{"error": turn.error}] if turn.HasField("error") else []
    made = [
        TurnEvent(turn_id=turn.id, sequence=number, create_time=turn.end_time, **event)
        for number, event in enumerate([*ending, {"done": TurnDone(turn=turn)}], len(feed.journalled) + 1)
    ]
    await parts.store.write(lambda c: turns.end_without_lease(c, record.tenant, turn, made))
    feed.record(made)
    feed.send(made)


async def tell_recall(parts: Parts, record: TurnRecord, feed: Feed) -> bool:
    """Brings the messages of a turn that is over to recall, however long that takes; false if its agent is deleted."""
    tenant, turn = record.tenant, record.turn
    try:
        lease = await parts.store.write(
            lambda c: conversations.claim(c, tenant, turn.conversation_id, turn.agent_id, parts.process_id, left=True)
        )
    except NotFound:
        return False
    await RecallLog(parts.tiers, Principal(tenant), turn, lease, feed).send_all(None)
    parts.windows.forget(turn.conversation_id)
    return True
