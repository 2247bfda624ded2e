"""One stored message as the one or more messages that letta-client programs see, all under its id."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.rest import content
from gateway.rest.forms import Json, time
from servicekit import ids
from triptych.agent.v1.turn_pb2 import Turn, TurnEvent
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2
from triptych.type.v1.type_pb2 import ToolCall

_SPEECH = "send_message"
# The places of a message's parts, the same whichever of them there are: a piece is known before what comes behind it.
_THOUGHT, _SAID, _CALLED = 0, 1, 2
_ROLES = {
    "user_message": type_pb2.ROLE_USER,
    "system_message": type_pb2.ROLE_SYSTEM,
    "tool_return_message": type_pb2.ROLE_TOOL,
    "assistant_message": type_pb2.ROLE_ASSISTANT,
    "reasoning_message": type_pb2.ROLE_ASSISTANT,
    "tool_call_message": type_pb2.ROLE_ASSISTANT,
}


def roles(types: Iterable[str]) -> list[type_pb2.Role.ValueType]:
    """Of the stored messages that are shown as these types."""
    return sorted({_ROLES[each] for each in types if each in _ROLES})


@dataclass(frozen=True)
class Wanted:
    """How a program wants messages. `types`: the message types; None: all. `spoken`: as in `parts`. `compactions`: it
    wants to be told of those too."""

    types: Sequence[str] | None = None
    spoken: bool = True
    compactions: bool = False

    def of(self, shown: Iterable[Json]) -> list[Json]:
        """Those of the types."""
        return [part for part in shown if self.types is None or part["message_type"] in self.types]


ALL = Wanted()


def expanded(messages: Iterable[Message], wanted: Wanted = ALL) -> list[Json]:
    return wanted.of(part for message in messages for part in parts(message, spoken=wanted.spoken))


def parts(m: Message, *, spoken: bool = True) -> list[Json]:
    """In the order in which they happened: reasoning, then what was said, then the calls.

    `spoken`: an older agent's call of `send_message` is what it says, and no call.
    """
    if m.role == type_pb2.ROLE_TOOL:
        return [] if spoken and m.tool_return.name == _SPEECH else [_tool_return(m)]
    if m.role == type_pb2.ROLE_ASSISTANT:
        found: list[Json] = []
        if m.reasoning:
            found.append(
                {**_base(m, "reasoning_message", _THOUGHT), "reasoning": m.reasoning, "source": "reasoner_model"}
            )
        if m.text:
            found.append({**_base(m, "assistant_message", _SAID), "content": m.text})
        return found + [_call(m, call, _CALLED + place, spoken=spoken) for place, call in enumerate(m.tool_calls)]
    kind = "system_message" if m.role == type_pb2.ROLE_SYSTEM else "user_message"
    return [{**_base(m, kind), "content": content.shown(m.text, m.image_urls)}]


def approval_request(m: Message, turn: Turn) -> Json:
    """What the turn waits for: calls in its last message `m` that a person approves, or that the program runs."""
    calls = [_shown(pending.call) for pending in turn.pending_calls]
    return {
        **_base(m, "approval_request_message", _CALLED),
        "tool_call": calls[0] if calls else None,
        "tool_calls": calls,
    }


def without_pending(shown: Iterable[Json], turn: Turn) -> list[Json]:
    """Without the calls that the turn waits for: those are in the approval request instead."""
    waits = {pending.call.id for pending in turn.pending_calls}
    return [part for part in shown if not (is_call(part) and part["tool_call"]["tool_call_id"] in waits)]


def is_call(part: Json) -> bool:
    return bool(part["message_type"] == "tool_call_message")


def compaction(event: TurnEvent) -> list[Json]:
    """That the oldest messages have left the window, and the summary that stands for them, if there is one."""
    made, summary = event.compaction, event.compaction.summary_message
    told = {
        "context_window_tokens_before": made.tokens_before,
        "context_window_tokens_after": made.tokens_after,
        "evicted_messages": made.evicted_messages,
        "without_model": made.without_model,
    }
    at = {"date": time(event.create_time), "run_id": event.turn_id, "step_id": event.step_id}
    event_id = ids.derived("message", event.turn_id, "compaction", event.sequence)
    shown: list[Json] = [
        {
            **at,
            "id": event_id,
            "otid": _otid(event_id, 0),
            "message_type": "event_message",
            "event_type": "compaction",
            "event_data": told,
        }
    ]
    if made.HasField("summary_message"):
        shown.append(
            {
                **at,
                "id": summary.id,
                "otid": _otid(summary.id, 0),
                "message_type": "summary_message",
                "summary": summary.text,
                "compaction_stats": None,
            }
        )
    return shown


def delta(kind: str, text: str, message_id: str, run_id: str, step_id: str, at: str | None) -> Json:
    """A piece of a message that is being generated. `kind`: `text` or `reasoning`."""
    otid = _otid(message_id, _THOUGHT if kind == "reasoning" else _SAID)
    shown: Json = {"id": message_id, "date": at, "otid": otid, "run_id": run_id, "step_id": step_id}
    if kind == "reasoning":
        return {**shown, "message_type": "reasoning_message", "reasoning": text, "source": "reasoner_model"}
    return {**shown, "message_type": "assistant_message", "content": text}


def _base(m: Message, kind: str, place: int = 0) -> Json:
    """`place`: which part of the message it is."""
    return {
        "id": m.id,
        "date": time(m.create_time),
        "message_type": kind,
        "name": m.name or None,
        "otid": m.otid or _otid(m.id, place),
        "sender_id": None,
        "step_id": m.step_id or None,
        "run_id": m.turn_id or None,
        "is_err": None,
        "seq_id": m.sequence or None,
        "conversation_id": m.conversation_id,
    }


def _otid(message_id: str, place: int) -> str:
    """By which programs tell the parts of a message apart: its UUID, but for the last two digits."""
    return f"{message_id.removeprefix('message-')[:-2]}{place:02x}"


def _call(m: Message, call: ToolCall, place: int, *, spoken: bool) -> Json:
    if spoken and call.name == _SPEECH:
        return {**_base(m, "assistant_message", place), "content": _spoken(call)}
    shown = _shown(call)
    return {**_base(m, "tool_call_message", place), "tool_call": shown, "tool_calls": [shown]}


def _shown(call: ToolCall) -> Json:
    return {"name": call.name, "arguments": call.arguments, "tool_call_id": call.id}


def _spoken(call: ToolCall) -> str:
    try:
        return str(json.loads(call.arguments)["message"])
    except (ValueError, KeyError, TypeError):
        return call.arguments


def _tool_return(m: Message) -> Json:
    status = "error" if m.tool_return.status == type_pb2.TOOL_STATUS_ERROR else "success"
    shown = {
        "tool_return": m.text,
        "status": status,
        "tool_call_id": m.tool_return.tool_call_id,
        "stdout": None,
        "stderr": None,
    }
    return {
        **_base(m, "tool_return_message"),
        **shown,
        "name": m.tool_return.name,
        "is_err": status == "error",
        "tool_returns": [{**shown, "type": "tool"}],
    }
