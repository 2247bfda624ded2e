"""Tool rules, as Letta writes them down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from triptych.agent.v1 import agent_pb2 as pb
from triptych.errors import InvalidArgument

_PREFIX = "TOOL_RULE_TYPE_"
# Older names of the same rules.
_SYNONYMS = {"InitToolRule": "run_first", "TerminalToolRule": "exit_loop", "ContinueToolRule": "continue_loop"}


def read(rule: Mapping[str, Any]) -> pb.ToolRule:
    """Raises: InvalidArgument for a type that there is none of."""
    name = str(rule.get("type"))
    try:
        kind = pb.ToolRuleType.Value(_PREFIX + _SYNONYMS.get(name, name).upper())
    except ValueError:
        raise InvalidArgument.of("tool_rules.type", f"there is no rule {name[:50]}") from None
    return pb.ToolRule(
        type=kind,
        tool_name=rule.get("tool_name") or "",
        children=rule.get("children"),
        max_count=rule.get("max_count_limit") or 0,
        child_by_output=rule.get("child_output_mapping"),
        default_child=rule.get("default_child") or "",
        require_output_mapping=bool(rule.get("require_output_mapping")),
    )


def shown(rules: Iterable[pb.ToolRule]) -> list[dict[str, Any]]:
    return [_shown(rule) for rule in rules]


def _shown(rule: pb.ToolRule) -> dict[str, Any]:
    kind = pb.ToolRuleType.Name(rule.type).removeprefix(_PREFIX).lower()
    common: dict[str, Any] = {"type": kind, "tool_name": rule.tool_name, "prompt_template": None}
    if kind == "conditional":
        return {
            **common,
            "child_output_mapping": dict(rule.child_by_output),
            "default_child": rule.default_child or None,
            "require_output_mapping": rule.require_output_mapping,
        }
    if kind in ("constrain_child_tools", "parent_last_tool"):
        return {**common, "children": list(rule.children)}
    if kind == "max_count_per_step":
        return {**common, "max_count_limit": rule.max_count}
    return common
