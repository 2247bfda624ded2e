"""What is journalled of a turn, as the gateway reads it from agent_service."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.backends import Backends
from triptych.agent.v1.turn_pb2 import ListTurnEventsRequest, TurnEvent
from triptych.recall.v1.recall_pb2 import Message


async def events(back: Backends, turn_id: str) -> list[TurnEvent]:
    """All that is journalled of a turn by now. Raises: NotFound."""
    found: list[TurnEvent] = []
    request = ListTurnEventsRequest(turn_id=turn_id)
    while page := (await back.agent_peer.unary(back.turns.ListTurnEvents, request)).events:
        found += page
        request.after_sequence = page[-1].sequence
    return found


def said(events: Iterable[TurnEvent]) -> list[Message]:
    """What was said in a turn, its input first."""
    messages: list[Message] = []
    for event in events:
        kind = event.WhichOneof("event")
        if kind == "accepted":
            messages.extend(event.accepted.messages)
        elif kind in ("message", "tool_result"):
            messages.append(getattr(event, kind))
    return messages
