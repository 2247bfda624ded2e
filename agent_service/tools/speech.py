"""How agents of the older types speak: by calling a tool."""

from __future__ import annotations

from pydantic import Field, ValidationError

from agent_service.tools.base import Arguments, CallContext, TierTool
from triptych.type.v1.type_pb2 import ToolCall

SEND_MESSAGE = "send_message"


class SendMessage(Arguments):
    message: str = Field(description="What to say to the user.")


async def send_message(_context: CallContext, _args: SendMessage) -> str:
    return "Sent message successfully."


def said(call: ToolCall) -> str:
    """What a call says to the user; '' if it is no such call."""
    if call.name != SEND_MESSAGE:
        return ""
    try:
        return SendMessage.model_validate_json(call.arguments).message
    except ValidationError:
        return ""


TOOLS = (TierTool(SEND_MESSAGE, "Sends a message to the user, and ends your turn.", SendMessage, send_message),)
