"""What goes to a model and what comes back, whatever dialect it speaks."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

# A message of the OpenAI chat format.
ChatMessage = dict[str, Any]


class ToolMode(StrEnum):
    """How tools are called: with the endpoint's own tool calls, or emulated by a JSON schema as response format."""

    NATIVE = "native"
    EMULATED = "emulated"


@dataclass(frozen=True)
class ToolSchema:
    """A tool as the model is shown it. `parameters`: a JSON schema of an object."""

    name: str
    description: str
    parameters: dict[str, Any]

    @cached_property
    def text(self) -> str:
        """All that a model reads of it, to be counted."""
        return self.name + self.description + json.dumps(self.parameters)


@dataclass(frozen=True)
class ModelRequest:
    model: str
    messages: Sequence[ChatMessage]
    tools: Sequence[ToolSchema] = ()
    temperature: float | None = None
    max_output_tokens: int | None = None
    parallel_tool_calls: bool | None = None


@dataclass(frozen=True)
class CalledTool:
    """`arguments`: as the model wrote them; not necessarily JSON."""

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
    text: str = ""
    reasoning: str = ""
    tool_calls: Sequence[CalledTool] = ()
    usage: ModelUsage = field(default_factory=ModelUsage)
    finish_reason: str = ""


@dataclass(frozen=True)
class Deltas:
    """Where text goes while it is generated."""

    text: Callable[[str], None]
    reasoning: Callable[[str], None]
