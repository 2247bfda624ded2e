"""What a turn's journal says: which step is next, what of it is done, and what recall has to be told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent_service.turns.rules import Done
from servicekit import ids
from triptych.agent.v1.turn_pb2 import TurnEvent
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2
from triptych.type.v1.type_pb2 import ToolCall

# A gRPC message may have 4 MiB, and one of ours about one.
_MAX_BATCH_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True)
class Batch:
    """What goes to recall in one idempotent append. `request_id` derives from its place in the turn."""

    request_id: str
    messages: list[Message]


def step_id(turn_id: str, step: int) -> str:
    return ids.derived("step", turn_id, step)


def messages(events: Sequence[TurnEvent]) -> list[Message]:
    """The turn's messages so far, in order: input, then each step's message and tool results."""
    found: list[Message] = []
    for event in events:
        kind = event.WhichOneof("event")
        if kind == "accepted":
            found.extend(event.accepted.messages)
        elif kind == "message":
            found.append(event.message)
        elif kind == "tool_result":
            found.append(event.tool_result)
    return found


def is_over(events: Sequence[TurnEvent]) -> bool:
    """Whether the turn has ended."""
    return bool(events) and events[-1].HasField("done")


def open_calls(events: Sequence[TurnEvent]) -> list[ToolCall]:
    """Calls of the last step that have no result yet."""
    calls: dict[str, ToolCall] = {}
    for event in events:
        kind = event.WhichOneof("event")
        if kind == "message":
            calls = {call.id: call for call in event.message.tool_calls}
        elif kind == "tool_result":
            calls.pop(event.tool_result.tool_return.tool_call_id, None)
    return list(calls.values())


def since_answer(events: Sequence[TurnEvent]) -> list[TurnEvent]:
    """The events behind the model's last answer: the calls of the step that is being run."""
    for position in range(len(events) - 1, -1, -1):
        if events[position].HasField("message"):
            return list(events[position + 1 :])
    return []


def started_calls(events: Sequence[TurnEvent]) -> set[str]:
    """Ids of the last step's calls that were about to run, so that they may have."""
    return {e.tool_started.tool_call_id for e in since_answer(events) if e.HasField("tool_started")}


def succeeded(events: Sequence[TurnEvent], before_step: str = "") -> list[Done]:
    """The turn's calls that succeeded, in order, down to the step of that id; '' for all."""
    done: list[Done] = []
    for event in events:
        if before_step and event.HasField("message") and event.step_id == before_step:
            break
        if not event.HasField("tool_result"):
            continue
        returned = event.tool_result.tool_return
        if returned.status == type_pb2.TOOL_STATUS_SUCCESS:
            done.append(Done(returned.name, event.tool_result.text))
    return done


def steps_taken(events: Sequence[TurnEvent]) -> int:
    """How many of the model's answers are in the journal."""
    return sum(1 for event in events if event.WhichOneof("event") == "message")


def batches(turn_id: str, events: Sequence[TurnEvent], *, ended: bool) -> list[Batch]:
    """The turn's messages as appends, one a step (more if it is large), the first with the input.

    Of a turn that goes on, the last step is left out while calls of it are open: a batch never changes once sent.
    """
    steps: list[list[Message]] = [[]]
    answered = False
    for message in messages(events):
        if message.step_id and not message.HasField("tool_return"):
            if answered:
                steps.append([])
            answered = True
        steps[-1].append(message)
    if not ended and not (answered and not open_calls(events)):
        steps.pop()
    return [batch for number, step in enumerate(steps) for batch in parts(f"{turn_id}/{number}", step)]


def parts(request_id: str, messages: Sequence[Message]) -> Iterator[Batch]:
    """Messages in order, in appends that are not too large to be sent."""
    found, size = list[list[Message]](), 0
    for message in messages:
        size += message.ByteSize()
        if not found or size > _MAX_BATCH_BYTES:
            found.append([])
            size = message.ByteSize()
        found[-1].append(message)
    for number, part in enumerate(found):
        yield Batch(f"{request_id}/{number}" if number else request_id, part)
