"""What runs and steps did, and how long each part took: from the run's journal, and from what a step was sent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from fastapi import Query, Response
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.backends import Backends
from gateway.journal import events
from gateway.rest import forms, letta_messages, run_shapes
from gateway.rest.agents import Known
from gateway.rest.common import Back, OldestFirst, answer
from gateway.rest.endpoints import Router
from gateway.rest.forms import Json
from gateway.rest.steps import fetch_step
from triptych.agent.v1 import step_pb2, turn_pb2
from triptych.agent.v1.step_pb2 import Step
from triptych.agent.v1.turn_pb2 import Turn, TurnEvent
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2

router = Router(prefix="/v1", tags=["steps"])


@router.get("/steps/{step_id}/messages")
async def list_messages(step_id: str, back: Back, listing: OldestFirst) -> Response:
    """The step's answer, and what its calls returned."""
    step = await fetch_step(back, step_id)
    messages = _messages(await events(back, step.turn_id), step_id)
    if listing.order == type_pb2.SORT_ORDER_DESCENDING:
        messages.reverse()
    return answer(letta_messages.expanded(listing.part(messages, lambda message: message.id)))


@router.get("/steps/{step_id}/metrics")
async def get_step_metrics(step_id: str, back: Back) -> Response:
    step = await fetch_step(back, step_id)
    model, tools = int(step.total_milliseconds * 1e6), _tool_nanoseconds(await events(back, step.turn_id), step)
    # A step is kept when its answer is there.
    start = step.create_time.ToNanoseconds() - model
    return answer(
        {
            "id": step.id,
            "agent_id": step.agent_id,
            "run_id": step.turn_id,
            "step_start_ns": start,
            "llm_request_start_ns": start,
            "llm_request_ns": model,
            "tool_execution_ns": tools,
            "step_ns": model + tools,
        }
    )


@router.get("/steps/{step_id}/trace")
async def get_step_trace(step_id: str, back: Back) -> Response:
    """The request as the model was sent it, and its answer in the OpenAI API's form; it is not kept as it came."""
    sent = await back.agent_peer.unary(back.steps.GetStepContext, step_pb2.GetStepContextRequest(step_id=step_id))
    step = sent.step
    answered = _messages(await events(back, step.turn_id), step_id)[:1]
    return answer(
        {
            "id": step.id,
            "step_id": step.id,
            "run_id": step.turn_id,
            "agent_id": step.agent_id,
            "call_type": "agent_step",
            "request_json": json.loads(sent.request_json),
            "response_json": _completion(step, answered),
            "latency_ms": int(step.total_milliseconds),
            "created_at": forms.time(step.create_time),
        }
    )


@router.get("/runs/{run_id}/metrics")
async def get_run_metrics(run_id: str, back: Back, known: Known) -> Response:
    turn, happened = await _turn(back, run_id), await events(back, run_id)
    called = {event.tool_result.tool_return.name for event in happened if event.HasField("tool_result")}
    ids = {name: tool["id"] for name, tool in (await known.tools()).items()} if called else {}
    end = _end(turn, happened).ToNanoseconds()
    return answer(
        {
            "id": turn.id,
            "agent_id": turn.agent_id,
            "run_start_ns": turn.create_time.ToNanoseconds(),
            "run_ns": end - turn.create_time.ToNanoseconds(),
            "num_steps": turn.usage.step_count,
            "tools_used": sorted(ids[name] for name in called if name in ids),
        }
    )


@router.get("/runs/{run_id}/trace")
async def get_run_trace(run_id: str, back: Back, limit: Annotated[int, Query(ge=1, le=1000)] = 1000) -> Response:
    """The run as spans: itself, its model calls, its tool calls, in the order in which they began."""
    turn, happened = await _turn(back, run_id), await events(back, run_id)
    listed = step_pb2.ListStepsRequest(turn_id=run_id, page_size=1000, order=type_pb2.SORT_ORDER_ASCENDING)
    steps = (await back.agent_peer.unary(back.steps.ListSteps, listed)).steps
    begun, ended = turn.create_time.ToNanoseconds(), _end(turn, happened).ToNanoseconds()
    state = str(run_shapes.run(turn)["status"])
    spans = [_span(run_id, run_id, "", "agent_run", begun, ended, {"status": state, "agent_id": turn.agent_id})]
    for step in steps:
        end = step.create_time.ToNanoseconds()
        used = {"model": step.model, "total_tokens": step.usage.total_tokens, "finish_reason": step.finish_reason}
        start = end - int(step.total_milliseconds * 1e6)
        spans.append(_span(run_id, step.id, run_id, "llm_request", start, end, used))
        for event in _results(happened, step.id):
            told = event.tool_result.tool_return
            failed = told.status == type_pb2.TOOL_STATUS_ERROR
            about = {"tool": told.name, "status": "error" if failed else "success"}
            at = event.create_time.ToNanoseconds()
            spans.append(_span(run_id, event.tool_result.id, step.id, "tool_call", end, at, about))
            end = at
    return answer(spans[:limit])


async def _turn(back: Backends, turn_id: str) -> Turn:
    """Raises: NotFound."""
    return (await back.agent_peer.unary(back.turns.GetTurn, turn_pb2.GetTurnRequest(turn_id=turn_id))).turn


def _messages(happened: Iterable[TurnEvent], step_id: str) -> list[Message]:
    """The step's own: its answer, then what its calls returned."""
    return [
        getattr(event, str(event.WhichOneof("event")))
        for event in happened
        if event.step_id == step_id and event.WhichOneof("event") in ("message", "tool_result")
    ]


def _results(happened: Iterable[TurnEvent], step_id: str) -> list[TurnEvent]:
    return [event for event in happened if event.step_id == step_id and event.HasField("tool_result")]


def _tool_nanoseconds(happened: Sequence[TurnEvent], step: Step) -> int:
    """From the step's answer to the last of what its calls returned."""
    results = _results(happened, step.id)
    return results[-1].create_time.ToNanoseconds() - step.create_time.ToNanoseconds() if results else 0


def _end(turn: Turn, happened: Sequence[TurnEvent]) -> Timestamp:
    """Of a run that is not over: what happened last."""
    return turn.end_time if turn.HasField("end_time") else happened[-1].create_time


def _completion(step: Step, answered: Sequence[Message]) -> Json:
    message: Json = {"role": "assistant", "content": None}
    if answered:
        calls = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in answered[0].tool_calls
        ]
        message = {"role": "assistant", "content": answered[0].text or None, **({"tool_calls": calls} if calls else {})}
    return {
        "model": step.model,
        "choices": [{"index": 0, "message": message, "finish_reason": step.finish_reason}],
        "usage": {
            "prompt_tokens": step.usage.prompt_tokens,
            "completion_tokens": step.usage.completion_tokens,
            "total_tokens": step.usage.total_tokens,
        },
    }


def _span(trace: str, its_id: str, parent: str, name: str, start: int, end: int, attributes: dict[str, Any]) -> Json:
    return {
        "trace_id": trace,
        "span_id": its_id,
        "parent_span_id": parent or None,
        "span_name": name,
        "start_time_ns": start,
        "duration_ns": max(0, end - start),
        "attributes": attributes,
    }
