"""The two kinds of tool: those that edit blocks, inside the journal's transaction, and those that call another tier."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from agent_service.models.types import ToolSchema
from agent_service.tiers import Tiers
from servicekit.principal import Principal
from triptych.agent.v1.agent_pb2 import Agent, Block
from triptych.type.v1.type_pb2 import Fence


class Arguments(BaseModel):
    """Base of a tool's arguments. What a model adds beyond them (`request_heartbeat`, …) is ignored."""

    model_config = ConfigDict(extra="ignore")


Args = TypeVar("Args", bound=Arguments)


class ToolError(Exception):
    """The agent's doing: the message goes back to the model as the tool's return."""


@dataclass(frozen=True)
class Edit:
    """What a block tool wants: the block `label` to hold `value`. `create`: also if there is no such block yet.

    `description`: what a block that is made is for.
    """

    label: str
    value: str
    create: bool = False
    description: str = ""


@dataclass(frozen=True)
class Relabel:
    """The block `label` to be called `new_label`, or to be described otherwise; None leaves it as it is."""

    label: str
    new_label: str | None = None
    description: str | None = None


@dataclass(frozen=True)
class Detach:
    """The block `label` to leave the agent's core memory. It stays as a block of its own, with its history."""

    label: str


@dataclass(frozen=True)
class Say:
    """No change: the text is what the model is told."""

    text: str


Change = Edit | Relabel | Detach | Say


@dataclass(frozen=True)
class BlockTool(Generic[Args]):
    """`edit` is pure: from the agent's blocks and the arguments to the change, or a ToolError."""

    name: str
    description: str
    arguments: type[Args]
    edit: Callable[[Sequence[Block], Args], Change]


@dataclass(frozen=True)
class CallContext:
    """Who calls, and the key under which a repeated call has one effect."""

    caller: Principal
    agent: Agent
    conversation_id: str
    turn_id: str
    key: str
    fence: Fence
    tiers: Tiers
    now: datetime


@dataclass(frozen=True)
class TierTool(Generic[Args]):
    name: str
    description: str
    arguments: type[Args]
    call: Callable[[CallContext, Args], Awaitable[str]]


Tool = BlockTool[Any] | TierTool[Any]


def schema(tool: Tool) -> ToolSchema:
    """The tool as the model is shown it."""
    parameters = tool.arguments.model_json_schema()
    return ToolSchema(tool.name, tool.description, _without_titles(parameters))


def _without_titles(node: Any) -> Any:
    """A schema without pydantic's titles and its docstring: tokens that tell a model nothing."""
    if isinstance(node, dict):
        kept = {
            key: _without_titles(value)
            for key, value in node.items()
            if not (key == "title" and isinstance(value, str))
        }
        if "properties" in kept:
            kept.pop("description", None)
        return kept
    if isinstance(node, list):
        return [_without_titles(item) for item in node]
    return node


def parse(tool: Tool, raw: str) -> Any:
    """The model's arguments, checked. Raises: ToolError that says what is wrong and what is wanted."""
    try:
        given = json.loads(raw) if raw.strip() else {}
    except (ValueError, RecursionError) as error:
        raise ToolError(f"The arguments of {tool.name} are not valid JSON ({error}). Send one JSON object.") from None
    if not isinstance(given, dict):
        raise ToolError(f"The arguments of {tool.name} must be one JSON object.")
    try:
        return tool.arguments.model_validate(given)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'arguments'}: {problem['msg']}" for problem in error.errors()
        )
        raise ToolError(f"{tool.name} was called with wrong arguments: {problems}.") from None
