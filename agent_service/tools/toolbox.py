"""The tools of one agent, for one turn: built-in ones, the user's own, and those of the program that calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from agent_service.models.types import ToolSchema
from agent_service.tools import registry
from agent_service.tools.base import ClientTool, Tool, schema


@dataclass(frozen=True)
class Given:
    """A tool with what its owner has set for it. `return_char_limit`: 0 for the usual one."""

    tool: Tool
    return_char_limit: int = 0
    requires_approval: bool = False


@dataclass(frozen=True)
class Toolbox:
    """By name, in the order in which the model is shown them: the same tools give the same bytes."""

    given: Mapping[str, Given] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return list(self.given)

    def get(self, name: str) -> Tool | None:
        given = self.given.get(name)
        return given.tool if given else None

    def return_char_limit(self, name: str) -> int:
        return self.given[name].return_char_limit

    def requires_approval(self, name: str) -> bool:
        return name in self.given and self.given[name].requires_approval

    def is_client_side(self, name: str) -> bool:
        return isinstance(self.get(name), ClientTool)

    def schemas(self, names: Iterable[str]) -> list[ToolSchema]:
        wanted = set(names)
        return [_shown(name, given.tool) for name, given in self.given.items() if name in wanted]


def _shown(name: str, tool: Tool) -> ToolSchema:
    return registry.SCHEMAS[name] if registry.TOOLS.get(name) is tool else schema(tool)


def build(names: Iterable[str], own: Mapping[str, Given], client_tools: Iterable[ClientTool] = ()) -> Toolbox:
    """`names`: the agent's. `own`: the user's, by name. A name that is neither is left out.

    A client tool takes the place of an agent's tool of its name, but never of a built-in one.
    """
    given: dict[str, Given] = {}
    for name in names:
        if name in registry.TOOLS:
            given[name] = Given(registry.TOOLS[name])
        elif name in own:
            given[name] = own[name]
    given.update({tool.name: Given(tool) for tool in client_tools if tool.name not in registry.TOOLS})
    return Toolbox(given)
