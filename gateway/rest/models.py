"""Health, and the models that agents can use."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from gateway.rest.agents import Known
from gateway.rest.common import answer
from triptych.agent.v1 import agent_pb2

router = APIRouter(prefix="/v1", tags=["models"])


@router.get("/health")
async def health() -> Response:
    return answer({"version": "0.1.0", "status": "ok"})


@router.get("/models")
async def list_models(known: Known) -> Response:
    return answer([_model(model) for model in known.models.models])


@router.get("/models/embedding")
async def list_embedding_models() -> Response:
    """The server embeds with one model of its own; agents may name any."""
    return answer([])


def _model(model: agent_pb2.Model) -> dict[str, Any]:
    return {
        "handle": f"openai-proxy/{model.name}",
        "name": model.name,
        "model": model.name,
        "display_name": model.name,
        "model_type": "llm",
        "provider_type": "openai",
        "provider_name": "openai-proxy",
        "model_endpoint_type": "openai",
        "context_window": model.context_window,
        "max_context_window": model.context_window,
    }
