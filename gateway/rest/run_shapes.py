"""Turns as the JSON that letta-client programs parse: there they are runs."""

from __future__ import annotations

from gateway.rest.forms import Json, time
from triptych.agent.v1 import turn_pb2
from triptych.type.v1 import type_pb2

_STOP_REASONS = {
    turn_pb2.STOP_REASON_END_TURN: "end_turn",
    turn_pb2.STOP_REASON_MAX_STEPS: "max_steps",
    turn_pb2.STOP_REASON_ERROR: "error",
    turn_pb2.STOP_REASON_CANCELLED: "cancelled",
    turn_pb2.STOP_REASON_MAX_TOKENS: "max_tokens_exceeded",
    turn_pb2.STOP_REASON_REQUIRES_APPROVAL: "requires_approval",
    turn_pb2.STOP_REASON_TOOL_LOOP: "invalid_tool_call",
    turn_pb2.STOP_REASON_TOOL_RULE: "tool_rule",
}
_RUN_STATES = {
    turn_pb2.TURN_STATE_QUEUED: "created",
    turn_pb2.TURN_STATE_RUNNING: "running",
    turn_pb2.TURN_STATE_WAITING: "running",
    turn_pb2.TURN_STATE_COMPLETED: "completed",
    turn_pb2.TURN_STATE_FAILED: "failed",
    turn_pb2.TURN_STATE_CANCELLED: "cancelled",
}


def run(turn: turn_pb2.Turn) -> Json:
    ended = turn.state not in (turn_pb2.TURN_STATE_QUEUED, turn_pb2.TURN_STATE_RUNNING)
    error = {"error": turn.error.message, "reason": _reason(turn.error.reason)} if turn.HasField("error") else {}
    return {
        "id": turn.id,
        "agent_id": turn.agent_id,
        "conversation_id": turn.conversation_id,
        "status": _RUN_STATES.get(turn.state, "created"),
        "stop_reason": _STOP_REASONS.get(turn.stop_reason) if ended else None,
        "background": turn.background,
        "metadata": error,
        "created_at": time(turn.create_time),
        "completed_at": time(turn.end_time),
    }


def _reason(reason: type_pb2.ErrorReason.ValueType) -> str:
    return type_pb2.ErrorReason.Name(reason).removeprefix("ERROR_REASON_")


def stop_reason(turn: turn_pb2.Turn) -> Json:
    return {"message_type": "stop_reason", "stop_reason": _STOP_REASONS.get(turn.stop_reason, "error")}


def usage(turn: turn_pb2.Turn) -> Json:
    u = turn.usage
    return {
        "message_type": "usage_statistics",
        "completion_tokens": u.completion_tokens,
        "prompt_tokens": u.prompt_tokens,
        "total_tokens": u.total_tokens,
        "step_count": u.step_count,
        "run_ids": [turn.id],
        "cached_input_tokens": u.cached_tokens,
        "reasoning_tokens": u.reasoning_tokens,
        "context_tokens": u.context_tokens,
    }
