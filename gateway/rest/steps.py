"""Steps: the model calls that runs are made of."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from gateway.rest import shapes
from gateway.rest.common import Back, Listing, NewestFirst, answer, answers
from triptych.agent.v1 import step_pb2 as pb

router = APIRouter(prefix="/v1", tags=["steps"])


@router.get("/steps")
async def list_steps(back: Back, listing: NewestFirst, agent_id: str | None = None) -> Response:
    return await _page(back, listing, pb.ListStepsRequest(agent_id=agent_id or ""))


@router.get("/steps/{step_id}")
async def get_step(step_id: str, back: Back) -> Response:
    response = await back.agent_peer.unary(back.steps.GetStep, pb.GetStepRequest(step_id=step_id))
    return answer(_step(response.step))


@router.get("/runs/{run_id}/steps")
async def list_steps_of_run(run_id: str, back: Back, listing: NewestFirst) -> Response:
    return await _page(back, listing, pb.ListStepsRequest(turn_id=run_id))


async def _page(back: Back, listing: Listing, request: pb.ListStepsRequest) -> Response:
    request.page_size, request.order = listing.limit, listing.order
    response = await back.agent_peer.unary(back.steps.ListSteps, request)
    # The contract pages steps by token alone: what comes after the last is nothing.
    return answers([] if listing.after or listing.before else response.steps, _step)


def _step(step: pb.Step) -> dict[str, Any]:
    usage = step.usage
    return {
        "id": step.id,
        "agent_id": step.agent_id,
        "run_id": step.turn_id,
        "model": step.model,
        "context_window_limit": step.context_window,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "cached_input_tokens": usage.cached_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        # A call that failed leaves no step.
        "status": "success",
        "tags": [],
        "messages": [],
        "created_at": shapes.time(step.create_time),
    }
