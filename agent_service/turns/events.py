"""Makes a turn's events. Their numbers are given when they are committed, so that none is lost to a failed commit."""

from __future__ import annotations

from typing import Any

from agent_service import clock
from agent_service.models.types import ModelAnswer
from agent_service.turns import journal
from agent_service.turns.outcomes import Outcome
from servicekit import ids
from triptych.agent.v1.turn_pb2 import TextDelta, Turn, TurnEvent
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2
from triptych.type.v1.type_pb2 import ToolCall, ToolReturn


class EventMaker:
    """`attempt`: which run of the turn this is."""

    def __init__(self, turn: Turn, attempt: int) -> None:
        self._turn, self._attempt = turn, attempt

    def journalled(self, step: int, **event: Any) -> TurnEvent:
        """An event for the journal; `event` is one member of TurnEvent's oneof."""
        return TurnEvent(
            turn_id=self._turn.id,
            attempt=self._attempt,
            step_id=journal.step_id(self._turn.id, step) if step else "",
            create_time=clock.timestamp(clock.now()),
            **event,
        )

    def delta(self, step: int, kind: str, text: str) -> TurnEvent:
        delta = TextDelta(text=text, message_id=self.message_id(step))
        return TurnEvent(
            turn_id=self._turn.id,
            attempt=self._attempt,
            step_id=journal.step_id(self._turn.id, step),
            create_time=clock.timestamp(clock.now()),
            text_delta=delta if kind == "text" else None,
            reasoning_delta=delta if kind == "reasoning" else None,
        )

    def message_id(self, step: int) -> str:
        return ids.derived("message", self._turn.id, step)

    def answer(self, step: int, answer: ModelAnswer) -> Message:
        """The model's answer as a message."""
        message = self._message(step, self.message_id(step), type_pb2.ROLE_ASSISTANT, answer.text)
        message.reasoning = answer.reasoning
        message.tool_calls.extend(
            ToolCall(id=call.id, name=call.name, arguments=call.arguments) for call in answer.tool_calls
        )
        return message

    def result(self, step: int, index: int, call: ToolCall, outcome: Outcome) -> Message:
        """What a tool returned as a message."""
        message_id = ids.derived("message", self._turn.id, step, "call", index)
        message = self._message(step, message_id, type_pb2.ROLE_TOOL, outcome.text)
        status = type_pb2.TOOL_STATUS_ERROR if outcome.failed else type_pb2.TOOL_STATUS_SUCCESS
        message.tool_return.CopyFrom(ToolReturn(tool_call_id=call.id, name=call.name, status=status))
        return message

    def _message(self, step: int, message_id: str, role: type_pb2.Role.ValueType, text: str) -> Message:
        return Message(
            id=message_id,
            agent_id=self._turn.agent_id,
            conversation_id=self._turn.conversation_id,
            role=role,
            text=text,
            create_time=clock.timestamp(clock.now()),
            turn_id=self._turn.id,
            step_id=journal.step_id(self._turn.id, step),
        )
