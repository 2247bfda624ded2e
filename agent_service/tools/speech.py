"""How agents of the older types speak: by calling a tool."""

from __future__ import annotations

from pydantic import Field

from agent_service.tools.base import Arguments, CallContext, TierTool

SEND_MESSAGE = "send_message"


class SendMessage(Arguments):
    message: str = Field(description="What to say to the user.")


async def send_message(_context: CallContext, _args: SendMessage) -> str:
    return "Sent message successfully."


TOOLS = (TierTool(SEND_MESSAGE, "Sends a message to the user, and ends your turn.", SendMessage, send_message),)
