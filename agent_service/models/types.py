"""What goes to a model and what comes back, whatever dialect it speaks."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from agent_service.models.messages import ChatMessage, Encoded, decoded


class ToolMode(StrEnum):
    """How tools are called: with the endpoint's own tool calls; as text that the prompt describes (Hermes' form); or
    emulated by a JSON schema as response format, which a small model can't leave."""

    NATIVE = "native"
    PROMPTED = "prompted"
    EMULATED = "emulated"


@dataclass(frozen=True)
class Quirks:
    """How a model's endpoint differs from OpenAI's, as it was configured or as it has said when it refused a request.

    `without`: parameters that it does not take. `limit_name`: what it calls the longest answer. `strict_roles`: whether
    system messages have to come first, and user and assistant to alternate behind them.
    """

    tools: ToolMode = ToolMode.NATIVE
    without: frozenset[str] = frozenset()
    limit_name: str = "max_tokens"
    strict_roles: bool = False


@dataclass(frozen=True)
class ToolSchema:
    """A tool as the model is shown it. `parameters`: a JSON schema of an object."""

    name: str
    description: str
    parameters: dict[str, Any]

    @property
    def properties(self) -> dict[str, Any]:
        """The arguments' schemas. Others write `parameters`: what is no schema in it says nothing."""
        given = self.parameters.get("properties")
        named = given.items() if isinstance(given, dict) else ()
        return {name: schema if isinstance(schema, dict) else {} for name, schema in named}

    @property
    def required(self) -> list[str]:
        """Names of the arguments that must be given, not all of which `properties` needs to have."""
        given = self.parameters.get("required")
        return [name for name in given if isinstance(name, str)] if isinstance(given, list) else []

    @cached_property
    def text(self) -> str:
        """All that a model reads of it, to be counted."""
        return self.name + self.description + json.dumps(self.parameters)


@dataclass(frozen=True)
class ModelRequest:
    """`model`: a handle for the router, the endpoint's own name for a client. `fallbacks`: handles of who stands in.

    `response_format`: as in the OpenAI format; None for text.
    """

    model: str
    messages: Sequence[ChatMessage | Encoded]
    tools: Sequence[ToolSchema] = ()
    temperature: float | None = None
    max_output_tokens: int | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    fallbacks: Sequence[str] = ()

    @cached_property
    def plain(self) -> list[ChatMessage]:
        """The messages one by one, for who has to look at them."""
        return decoded(self.messages)


@dataclass(frozen=True)
class CalledTool:
    """`arguments`: as the model wrote them; JSON once they have been through `arguments.settled`."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class ModelUsage:
    """Tokens; zeros if the endpoint does not say."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    reasoning: int = 0


@dataclass(frozen=True)
class ModelAnswer:
    """`model`: who answered, by its endpoint's name of it. `quirks`: what its request was like, for `bodies.body`."""

    text: str = ""
    reasoning: str = ""
    tool_calls: Sequence[CalledTool] = ()
    usage: ModelUsage = field(default_factory=ModelUsage)
    finish_reason: str = ""
    model: str = ""
    quirks: Quirks = field(default_factory=Quirks)


@dataclass(frozen=True)
class Deltas:
    """Where text goes while it is generated."""

    text: Callable[[str], None]
    reasoning: Callable[[str], None]
