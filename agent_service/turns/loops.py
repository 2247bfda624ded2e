"""A model that makes the same call over and over: first it is told, then the turn ends."""

from __future__ import annotations

from collections.abc import Sequence

from triptych.agent.v1.turn_pb2 import TurnEvent
from triptych.type.v1.type_pb2 import ToolCall

# Steps in a row with the same call: from then on it is not run, and the model is told so …
REFUSED_FROM = 5
# … and if that does not help, the turn ends.
ENDS_AT = 8


def repeats(events: Sequence[TurnEvent], call: ToolCall) -> int:
    """How many of the last steps in a row made this call, name and arguments alike. Pure."""
    count = 0
    for event in reversed(events):
        if not event.HasField("message"):
            continue
        if all((made.name, made.arguments) != (call.name, call.arguments) for made in event.message.tool_calls):
            break
        count += 1
    return count


def is_endless(events: Sequence[TurnEvent]) -> bool:
    """Whether the last step made a call that the model can't let go of."""
    last = next((event.message for event in reversed(events) if event.HasField("message")), None)
    return last is not None and any(repeats(events, call) >= ENDS_AT for call in last.tool_calls)
