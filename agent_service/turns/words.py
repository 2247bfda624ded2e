"""The words of a turn that has ended: recall has them, so its journal lets go of them, and asks when they are wanted.

Left out are texts, thoughts, images and the arguments of calls. Ids, names and states stay, and so do edits of blocks
and summaries, which recall does not have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from agent_service.tiers import Tiers
from servicekit.principal import Principal
from triptych.agent.v1.turn_pb2 import TurnEvent
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1.type_pb2 import ToolCall

# Of messages, of which each may have a megabyte.
_AT_ONCE = 40

_WORDY = frozenset(("accepted", "message", "tool_result", "tool_call", "approval_request", "approval_response"))


def has_any(event: TurnEvent) -> bool:
    """Whether it may have words that recall has too."""
    return event.WhichOneof("event") in _WORDY


def without(event: TurnEvent) -> TurnEvent:
    """The event as a thinned journal keeps it."""
    thin = TurnEvent()
    thin.CopyFrom(event)
    for message in _messages(thin):
        message.ClearField("text")
        message.ClearField("reasoning")
        message.ClearField("image_urls")
    for call in _calls(thin):
        call.ClearField("arguments")
    for returned in thin.approval_response.tool_returns if thin.HasField("approval_response") else ():
        returned.ClearField("text")
    return thin


async def again(tiers: Tiers, caller: Principal, events: Sequence[TurnEvent]) -> list[TurnEvent]:
    """The events of a thinned journal with the words that recall has now; what is gone there stays without.

    Raises: Unavailable, DeadlineExceeded.
    """
    wanted = [message.id for event in events for message in _messages(event)]
    known: dict[str, Message] = {}
    for begin in range(0, len(wanted), _AT_ONCE):
        found = await tiers.get_messages(caller, wanted[begin : begin + _AT_ONCE])
        known.update((message.id, message) for message in found)
    return [_filled(event, known) for event in events]


def _filled(event: TurnEvent, known: Mapping[str, Message]) -> TurnEvent:
    full = TurnEvent()
    full.CopyFrom(event)
    for message in _messages(full):
        if (has := known.get(message.id)) is not None:
            message.text, message.reasoning = has.text, has.reasoning
            message.image_urls[:] = has.image_urls
    of_step = [message for message in known.values() if message.step_id == event.step_id]
    arguments = {call.id: call.arguments for message in of_step for call in message.tool_calls}
    for call in _calls(full):
        call.arguments = arguments.get(call.id, "")
    if full.HasField("approval_response"):
        returns = {message.tool_return.tool_call_id: message.text for message in of_step}
        for returned in full.approval_response.tool_returns:
            returned.text = returns.get(returned.tool_call_id, "")
    return full


def _messages(event: TurnEvent) -> Sequence[Message]:
    kind = event.WhichOneof("event")
    if kind == "accepted":
        return event.accepted.messages
    if kind == "message":
        return [event.message]
    return [event.tool_result] if kind == "tool_result" else []


def _calls(event: TurnEvent) -> Iterator[ToolCall]:
    """The calls that the event names with their arguments."""
    kind = event.WhichOneof("event")
    if kind == "tool_call":
        yield event.tool_call
    elif kind == "approval_request":
        yield from (pending.call for pending in event.approval_request.turn.pending_calls)
    elif kind == "message":
        yield from event.message.tool_calls
