"""Steps: the model calls that runs are made of."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import Request, Response

from gateway.rest import forms
from gateway.rest.common import Back, NewestFirst, answer, answers, request_id
from gateway.rest.endpoints import Router
from gateway.rest.schemas import Body
from triptych.agent.v1 import step_pb2 as pb
from triptych.agent.v1.turn_pb2 import GetTurnRequest

router = Router(prefix="/v1", tags=["steps"])

_PAGE = 1_000
_FEEDBACK = {
    None: pb.STEP_FEEDBACK_UNSPECIFIED,
    "positive": pb.STEP_FEEDBACK_POSITIVE,
    "negative": pb.STEP_FEEDBACK_NEGATIVE,
}
_FEEDBACK_NAMES = {feedback: name for name, feedback in _FEEDBACK.items()}


class Judgement(Body):
    feedback: Literal["positive", "negative"] | None = None
    tags: list[str] | None = None


@router.get("/steps")
async def list_steps(
    back: Back,
    listing: NewestFirst,
    agent_id: str | None = None,
    feedback: Literal["positive", "negative"] | None = None,
    has_feedback: bool | None = None,
) -> Response:
    request = pb.ListStepsRequest(agent_id=agent_id or "", **listing.paging)
    if feedback is None and has_feedback is None:
        return answers((await back.agent_peer.unary(back.steps.ListSteps, request)).steps, shown)
    found: list[pb.Step] = []
    request.page_size = _PAGE
    while len(found) < listing.limit:
        page = await back.agent_peer.unary(back.steps.ListSteps, request)
        found += [step for step in page.steps if _judged(step, feedback, has_feedback)]
        request.page_token = page.next_page_token
        if not request.page_token:
            break
    return answers(found[: listing.limit], shown)


@router.get("/steps/{step_id}")
async def get_step(step_id: str, back: Back) -> Response:
    return answer(shown(await fetch_step(back, step_id)))


@router.patch("/steps/{step_id}/feedback")
async def judge(step_id: str, request: Request, body: Judgement, back: Back) -> Response:
    """Says how good a step was. Without `feedback`, what was said before is taken back."""
    said = pb.SetStepFeedbackRequest(
        step_id=step_id, feedback=_FEEDBACK[body.feedback], tags=body.tags or [], request_id=request_id(request)
    )
    return answer(shown((await back.agent_peer.unary(back.steps.SetStepFeedback, said)).step))


@router.get("/runs/{run_id}/steps")
async def list_steps_of_run(run_id: str, back: Back, listing: NewestFirst) -> Response:
    await back.agent_peer.unary(back.turns.GetTurn, GetTurnRequest(turn_id=run_id))
    request = pb.ListStepsRequest(turn_id=run_id, **listing.paging)
    return answers((await back.agent_peer.unary(back.steps.ListSteps, request)).steps, shown)


async def fetch_step(back: Back, step_id: str) -> pb.Step:
    """Raises: NotFound."""
    return (await back.agent_peer.unary(back.steps.GetStep, pb.GetStepRequest(step_id=step_id))).step


def _judged(step: pb.Step, feedback: str | None, has_feedback: bool | None) -> bool:
    said = _FEEDBACK_NAMES[step.feedback]
    return feedback in (None, said) and has_feedback in (None, said is not None)


def shown(step: pb.Step) -> dict[str, Any]:
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
        "feedback": _FEEDBACK_NAMES[step.feedback],
        "tags": list(step.feedback_tags),
        "messages": [],
        "created_at": forms.time(step.create_time),
    }
