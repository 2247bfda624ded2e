"""Tool rules in the bodies of letta-client programs."""

from __future__ import annotations

from pydantic import Field

from gateway.rest.schemas import Body, Int32
from triptych.agent.v1 import agent_pb2 as pb
from triptych.letta import tool_rules


class ToolRule(Body):
    type: str
    tool_name: str
    children: list[str] = Field(default_factory=list)
    max_count_limit: Int32 | None = None
    child_output_mapping: dict[str, str] = Field(default_factory=dict)
    default_child: str | None = None
    require_output_mapping: bool = False


def read(rule: ToolRule) -> pb.ToolRule:
    """Raises: InvalidArgument for a type that there is none of."""
    return tool_rules.read(rule.model_dump())
