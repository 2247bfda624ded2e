"""What a chat completion may ask for.

An agent has its own instructions, model, settings and tools, so those of a request (`temperature`, `seed`, a system
message, …) mean nothing and are ignored. What can't be ignored without lying to the caller is refused.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from gateway.rest.schemas import Body


class ChatMessage(Body):
    """One message; `content` is text, or parts of text and images."""

    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None


class StreamOptions(Body):
    """`include_usage`: one more chunk with the turn's tokens."""

    include_usage: bool = False


class ChatCompletionCreate(Body):
    """`model`: an agent's id or name. `conversation_id` is ours: one of the agent's threads."""

    model: str = Field(min_length=1, max_length=500)
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = None
    conversation_id: str = ""
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    response_format: dict[str, Any] | None = None
    modalities: list[Literal["text"]] | None = None

    @field_validator("tools", "functions")
    @classmethod
    def _has_its_own(cls, given: list[Any] | None) -> list[Any] | None:
        if given:
            raise ValueError("an agent has tools of its own; a request can't add any")
        return given

    def new_messages(self) -> list[ChatMessage]:
        """What the user says now. The agent has heard the rest: it keeps the conversation itself."""
        newest: list[ChatMessage] = []
        for message in reversed(self.messages):
            if message.role in ("assistant", "tool", "function"):
                break
            if message.role == "user":
                newest.insert(0, message)
        return newest
