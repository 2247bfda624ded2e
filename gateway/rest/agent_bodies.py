"""What requests about agents may carry."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from gateway.rest.schemas import BlockCreate, Body, Int32, Metadata
from gateway.rest.tool_rules import ToolRule


class LlmConfig(Body):
    """Of a model's configuration, what is used here."""

    model: str | None = None
    handle: str | None = None
    context_window: Int32 | None = None
    temperature: float | None = None
    max_tokens: Int32 | None = None


class SleepTime(Body):
    """When a turn of the agent's own reads what was said, and keeps what will matter."""

    enabled: bool = True
    every_turns: int = Field(default=0, ge=0, le=1_000)
    idle_seconds: int = Field(default=0, ge=0, le=30 * 86_400)
    model: str = ""


class AgentCreate(Body):
    name: str | None = None
    agent_type: str | None = None
    system: str | None = None
    description: str | None = None
    model: str | None = None
    embedding: str | None = None
    llm_config: LlmConfig | None = None
    context_window_limit: Int32 | None = None
    max_tokens: Int32 | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    fallback_models: list[str] | None = None
    enable_sleeptime: bool | None = None
    sleep_time: SleepTime | None = None
    memory_blocks: list[BlockCreate] = Field(default_factory=list)
    block_ids: list[str] = Field(default_factory=list)
    tools: list[str] | None = None
    tool_ids: list[str] | None = None
    tool_rules: list[ToolRule] | None = None
    include_base_tools: bool | None = True
    tags: list[str] | None = None
    metadata: Metadata | None = None
    timezone: str | None = None
    identity_ids: list[str] | None = None


class AgentUpdate(Body):
    name: str | None = None
    system: str | None = None
    description: str | None = None
    model: str | None = None
    embedding: str | None = None
    llm_config: LlmConfig | None = None
    context_window_limit: Int32 | None = None
    max_tokens: Int32 | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    fallback_models: list[str] | None = None
    enable_sleeptime: bool | None = None
    sleep_time: SleepTime | None = None
    tool_ids: list[str] | None = None
    tool_rules: list[ToolRule] | None = None
    tags: list[str] | None = None
    metadata: Metadata | None = None
    timezone: str | None = None
    identity_ids: list[str] | None = None
