"""What an agent file holds. Ids in it (`agent-0`, `block-1`) are its own: they say what belongs together, no more.

Letta's schema is https://github.com/letta-ai/agent-file. What it has no place for stands beside it: `archives` and
`passages` at the top, `conversations` of an agent, and of a message the conversation it is of. What its readers don't
know they ignore, and so do we.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from gateway.rest.schemas import Int32
from gateway.rest.tool_rules import ToolRule


class Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Content(Part):
    type: str = "text"
    text: str | None = None
    reasoning: str | None = None
    # An image's, of the forms that `gateway.rest.content` reads.
    source: dict[str, JsonValue] | None = None


class Function(Part):
    name: str
    arguments: str = "{}"


class Call(Part):
    id: str
    function: Function


class Returned(Part):
    tool_call_id: str | None = None
    status: str = "success"
    func_response: str | None = None


class Message(Part):
    id: str = ""
    role: Literal["user", "assistant", "system", "tool", "approval", "summary"] = "user"
    content: str | list[Content] | None = None
    name: str | None = None
    otid: str | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None
    tool_returns: list[Returned] | None = None
    created_at: str | None = None
    run_id: str | None = None
    conversation_id: str | None = None


class Conversation(Part):
    id: str
    title: str | None = None
    summary: str | None = None


class Block(Part):
    id: str
    label: str = ""
    value: str = ""
    description: str | None = None
    limit: Int32 | None = None
    read_only: bool = False
    metadata: dict[str, JsonValue] | None = None
    tags: list[str] | None = None


class Tool(Part):
    id: str
    name: str = ""
    description: str | None = None
    tool_type: str = "custom"
    source_type: str | None = None
    source_code: str | None = None
    json_schema: dict[str, Any] | None = None
    tags: list[str] | None = None
    return_char_limit: Int32 | None = None
    default_requires_approval: bool | None = None


class Archive(Part):
    id: str
    name: str = ""
    description: str | None = None


class Passage(Part):
    archive_id: str
    text: str
    tags: list[str] | None = None
    metadata: dict[str, JsonValue] | None = None
    created_at: str | None = None


class Model(Part):
    model: str | None = None
    handle: str | None = None
    context_window: Int32 | None = None
    temperature: float | None = None
    max_tokens: Int32 | None = None


class Agent(Part):
    id: str
    name: str = ""
    agent_type: str | None = None
    system: str | None = None
    description: str | None = None
    model: str | None = None
    llm_config: Model | None = None
    embedding: str | None = None
    timezone: str | None = None
    tags: list[str] | None = None
    metadata: dict[str, JsonValue] | None = None
    block_ids: list[str] = Field(default_factory=list)
    tool_ids: list[str] = Field(default_factory=list)
    tool_rules: list[ToolRule] | None = None
    messages: list[Message] = Field(default_factory=list)
    conversations: list[Conversation] = Field(default_factory=list)
    archive_ids: list[str] = Field(default_factory=list)


class AgentFile(Part):
    agents: list[Agent]
    blocks: list[Block] = Field(default_factory=list)
    tools: list[Tool] = Field(default_factory=list)
    archives: list[Archive] = Field(default_factory=list)
    passages: list[Passage] = Field(default_factory=list)
