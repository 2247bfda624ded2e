"""Which tool rules an agent can be given."""

from __future__ import annotations

from collections.abc import Sequence

from triptych.agent.v1 import agent_pb2 as pb
from triptych.errors import InvalidArgument

MAX_RULES = 200
MAX_CHILDREN = 100
_WITH_CHILDREN = (pb.TOOL_RULE_TYPE_CONSTRAIN_CHILD_TOOLS, pb.TOOL_RULE_TYPE_PARENT_LAST_TOOL)


def check(rules: Sequence[pb.ToolRule]) -> None:
    """Raises: InvalidArgument."""
    if len(rules) > MAX_RULES:
        raise InvalidArgument.of("tool_rules", f"must be at most {MAX_RULES}")
    for index, rule in enumerate(rules):
        problem = _problem(rule)
        if problem:
            raise InvalidArgument.of(f"tool_rules[{index}]", problem)


def _problem(rule: pb.ToolRule) -> str:
    if rule.type not in pb.ToolRuleType.values() or rule.type == pb.TOOL_RULE_TYPE_UNSPECIFIED:
        return "type is missing, or not one of the contract"
    if not rule.tool_name:
        return "tool_name is missing"
    if max(len(rule.children), len(rule.child_by_output)) > MAX_CHILDREN:
        return f"children and child_by_output must be at most {MAX_CHILDREN}"
    if rule.type in _WITH_CHILDREN and not rule.children:
        return "children is missing"
    if rule.type == pb.TOOL_RULE_TYPE_MAX_COUNT_PER_STEP and rule.max_count < 1:
        return "max_count must be 1 or more"
    if rule.type == pb.TOOL_RULE_TYPE_CONDITIONAL and not rule.child_by_output:
        return "child_by_output is missing"
    return ""
