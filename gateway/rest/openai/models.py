"""Agents as OpenAI's models."""

from __future__ import annotations

from typing import Any

from fastapi import Response

from gateway.rest.common import Back, answer
from gateway.rest.endpoints import Router
from gateway.rest.openai.form import PREFIX
from servicekit import ids
from triptych.agent.v1 import agent_pb2 as pb
from triptych.errors import InvalidArgument, NotFound

router = Router(prefix=PREFIX, tags=["openai"])
_PAGE = 1000


@router.get("/models")
async def list_models(back: Back) -> Response:
    """All of the user's agents. `id` is the agent's; `model` of a completion may be its `name` too."""
    shown: list[dict[str, Any]] = []
    request = pb.ListAgentsRequest(page_size=_PAGE)
    while True:
        page = await back.agent_peer.unary(back.agents.ListAgents, request)
        shown += [_model(agent) for agent in page.agents]
        request.page_token = page.next_page_token
        if not request.page_token:
            return answer({"object": "list", "data": shown})


@router.get("/models/{model:path}")
async def get_model(model: str, back: Back) -> Response:
    agent_id = await agent_of(back, model)
    found = await back.agent_peer.unary(back.agents.GetAgent, pb.GetAgentRequest(agent_id=agent_id))
    return answer(_model(found.agent))


async def agent_of(back: Back, model: str) -> str:
    """The agent's id. Raises: NotFound for a name that no agent has, InvalidArgument if several have it."""
    if ids.valid("agent", model):
        return model
    named = await back.agent_peer.unary(back.agents.ListAgents, pb.ListAgentsRequest(name=model, page_size=2))
    if not named.agents:
        raise NotFound("agent", model)
    if len(named.agents) > 1:
        raise InvalidArgument.of("model", "several agents have this name: give the id of one")
    return named.agents[0].id


def _model(agent: pb.Agent) -> dict[str, Any]:
    return {
        "id": agent.id,
        "object": "model",
        "created": agent.create_time.seconds,
        "owned_by": "triptych",
        "name": agent.name,
    }
