"""What an agent answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from triptych.agent.v1.turn_pb2 import PendingCall, Turn, Usage
from triptych.errors import TriptychError
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1.type_pb2 import ToolCall


@dataclass(frozen=True)
class Reply:
    """`messages`: all that the turn added after the input, tool results included.

    A turn that waits has `pending_calls`: answer them with `client.turns.continue_turn`.
    """

    turn: Turn
    messages: Sequence[Message]

    @property
    def text(self) -> str:
        """What the agent said, without tool calls and thoughts."""
        return "\n".join(m.text for m in self.messages if m.text and not m.HasField("tool_return"))

    @property
    def tool_calls(self) -> list[ToolCall]:
        return [call for message in self.messages for call in message.tool_calls]

    @property
    def pending_calls(self) -> Sequence[PendingCall]:
        """What the turn waits for: a person's approval, or (`client_side`) what a call returned."""
        return self.turn.pending_calls

    @property
    def usage(self) -> Usage:
        return self.turn.usage


class TurnFailed(TriptychError):
    """The turn ended in an error, whose `reason` and `message` these are. What was said is kept."""

    def __init__(self, turn: Turn) -> None:
        super().__init__(turn.error.message, reason=turn.error.reason)
        self.turn = turn
