"""The kinds of tool.

Block tools edit core memory, inside the journal's transaction. Tier tools call another tier, under a key that makes a
second call have no second effect. Outside tools (MCP, Python) know no such key. Client tools are run by the caller.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from agent_service import characters
from agent_service.models.arguments import UNREADABLE
from agent_service.models.types import ToolSchema
from agent_service.store import Store
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

    `description`: what a block that is made is for. `sources`: ids of the messages that the value was taken from.
    """

    label: str
    value: str
    create: bool = False
    description: str = ""
    sources: tuple[str, ...] = ()


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
    repeatable: ClassVar[bool] = True


@dataclass(frozen=True)
class CallContext:
    """Who calls, and the key under which a repeated call has one effect. `guest`: for whom the agent is another's."""

    caller: Principal
    agent: Agent
    conversation_id: str
    turn_id: str
    key: str
    fence: Fence
    tiers: Tiers
    store: Store
    now: datetime
    guest: bool = False


@dataclass(frozen=True)
class TierTool(Generic[Args]):
    """`writes`: what it does may matter to the calls behind it, so they wait for it."""

    name: str
    description: str
    arguments: type[Args]
    call: Callable[[CallContext, Args], Awaitable[str]]
    writes: bool = False
    repeatable: ClassVar[bool] = True


@dataclass(frozen=True)
class OutsideTool:
    """A tool of others. It runs at most once: a call that broke off is never made again.

    `parameters`: a JSON schema of an object. `call` raises ToolError for whatever goes wrong out there.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    call: Callable[[CallContext, dict[str, Any]], Awaitable[str]]
    timeout_seconds: float
    repeatable: ClassVar[bool] = False


@dataclass(frozen=True)
class ClientTool:
    """A tool that the program which talks with the agent runs; the turn waits for what it returns."""

    name: str
    description: str
    parameters: dict[str, Any]
    repeatable: ClassVar[bool] = True


BuiltIn = BlockTool[Any] | TierTool[Any]
Tool = BuiltIn | OutsideTool | ClientTool


def schema(tool: Tool) -> ToolSchema:
    """The tool as the model is shown it."""
    if isinstance(tool, OutsideTool | ClientTool):
        return ToolSchema(tool.name, tool.description, tool.parameters)
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


def parse(tool: BuiltIn, raw: str) -> Any:
    """The model's arguments, checked. Raises: ToolError that says what is wrong and what is wanted."""
    given = parse_object(tool.name, raw)
    try:
        return tool.arguments.model_validate(given)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'arguments'}: {problem['msg']}" for problem in error.errors()
        )
        raise ToolError(f"{tool.name} was called with wrong arguments: {problems}.") from None


def parse_object(name: str, raw: str) -> dict[str, Any]:
    """The arguments of a call of the tool `name` as an object. Raises: ToolError."""
    try:
        given = json.loads(raw) if raw.strip() else {}
    except (ValueError, RecursionError) as error:
        raise ToolError(f"The arguments of {name} are not valid JSON ({error}). Send one JSON object.") from None
    if not isinstance(given, dict):
        raise ToolError(f"The arguments of {name} must be one JSON object.")
    if set(given) == {UNREADABLE}:
        raise ToolError(f"The arguments of {name} are not valid JSON, or were cut off. Send one JSON object.")
    return dict(characters.whole_value(given)) if "\\u" in raw else given
