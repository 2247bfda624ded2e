"""Calls of single tools: what they are given, and what letta-client programs are told came of it."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from gateway.rest.forms import Json
from gateway.rest.schemas import Body
from triptych.agent.v1.agent_pb2 import RunToolResponse
from triptych.type.v1 import type_pb2


class RunArguments(Body):
    args: dict[str, Any] = Field(default_factory=dict)


def result(response: RunToolResponse) -> Json:
    failed = response.status == type_pb2.TOOL_STATUS_ERROR
    return {
        "status": "error" if failed else "success",
        "func_return": response.text,
        "stdout": None,
        "stderr": [response.text] if failed else None,
        "agent_state": None,
        "sandbox_config_fingerprint": None,
    }
