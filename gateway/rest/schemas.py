"""What requests may carry. Fields of letta-client programs that mean nothing here are accepted and ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from gateway.rest.letta_messages import Wanted

Metadata = dict[str, JsonValue]
# What the contract's int32 holds, of what can't be negative.
Int32 = Annotated[int, Field(ge=0, le=2**31 - 1)]


class Body(BaseModel):
    model_config = ConfigDict(extra="ignore")

    def given(self, *names: str) -> list[str]:
        """Those of the fields that the request has and that are not null."""
        return [name for name in names if name in self.model_fields_set and getattr(self, name) is not None]


class BlockCreate(Body):
    label: str
    value: str = ""
    description: str | None = None
    limit: Int32 | None = None
    read_only: bool = False
    metadata: Metadata | None = None
    tags: list[str] | None = None


class BlockUpdate(Body):
    label: str | None = None
    value: str | None = None
    description: str | None = None
    limit: Int32 | None = None
    read_only: bool | None = None
    metadata: Metadata | None = None
    tags: list[str] | None = None


class Answer(Body):
    """To a call that waits: a person's word (`approve`), or what it returned (`tool_return`)."""

    tool_call_id: str
    type: Literal["approval", "tool"] = "approval"
    approve: bool = False
    reason: str | None = None
    tool_return: str | list[dict[str, Any]] | None = None
    status: Literal["success", "error"] = "success"


class InputMessage(Body):
    """Of type `message` what is said, else the answers to calls that wait: `approvals` or `tool_returns`."""

    type: Literal["message", "approval", "tool_return"] | None = "message"
    role: Literal["user", "system", "assistant"] = "user"
    content: str | list[dict[str, Any]] = ""
    name: str | None = None
    otid: str | None = None
    approvals: list[Answer] | None = None
    tool_returns: list[Answer] | None = None
    # An older form: one word for all calls that wait.
    approve: bool | None = None
    reason: str | None = None


class ClientTool(Body):
    """A tool that the program runs: the turn waits for what it returned."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class MessagesCreate(Body):
    """`streaming`: None is what the path means. `agent_id`: whose conversation `default` is.

    Those behind it ask for what is not done here: see `starting`.
    """

    messages: list[InputMessage] | None = None
    input: str | list[dict[str, Any]] | None = None
    max_steps: int = Field(default=50, ge=1, le=1000)
    client_tools: list[ClientTool] | None = None
    include_return_message_types: list[str] | None = None
    streaming: bool | None = None
    stream_tokens: bool = False
    background: bool = False
    use_assistant_message: bool = True
    include_compaction_messages: bool = False
    override_model: str | None = None
    agent_id: str | None = None
    override_system: str | None = None
    callback_url: str | None = None
    client_skills: list[Any] | None = None
    return_logprobs: bool = False
    return_token_ids: bool = False
    top_logprobs: int | None = None

    @property
    def wanted(self) -> Wanted:
        return Wanted(self.include_return_message_types, self.use_assistant_message, self.include_compaction_messages)


class MessagesCancel(Body):
    run_ids: list[str] | None = None


class OfAgent(Body):
    """`agent_id`: whose conversation `default` is."""

    agent_id: str | None = None


class StreamFrom(OfAgent):
    """`starting_after`: the `seq_id` of the last event that the program has. `run_id`: of a conversation, which run."""

    starting_after: int = Field(default=0, ge=0, le=2**63 - 1)
    run_id: str | None = None


class MessageUpdate(Body):
    content: str


class MessageSearch(Body):
    query: str | None = None
    search_mode: Literal["vector", "fts", "hybrid"] = "hybrid"
    roles: list[str] | None = None
    agent_id: str | None = None
    conversation_id: str | None = None
    limit: int = Field(default=50, ge=1, le=100)
    start_date: str | None = None
    end_date: str | None = None


class PassageCreate(Body):
    text: str
    tags: list[str] | None = None
    created_at: str | None = None
    metadata: Metadata | None = None


class PassagesCreate(Body):
    passages: list[PassageCreate] = Field(min_length=1, max_length=1000)


class PassageSearch(Body):
    query: str | None = None
    agent_id: str | None = None
    archive_id: str | None = None
    tags: list[str] | None = None
    tag_match_mode: Literal["any", "all"] = "any"
    limit: int = Field(default=50, ge=1, le=100)
    start_date: str | None = None
    end_date: str | None = None


class ArchiveCreate(Body):
    name: str
    description: str | None = None
    embedding: str | None = None


class ArchiveUpdate(Body):
    name: str | None = None
    description: str | None = None


class ConversationCreate(Body):
    summary: str | None = None


class ConversationUpdate(Body):
    summary: str | None = None
    title: str | None = None
    metadata: Metadata | None = None
