"""Health, and the models that agents can use."""

from __future__ import annotations

from typing import Any

from fastapi import Response

from gateway.rest.common import Back, answer
from gateway.rest.endpoints import Router
from triptych.agent.v1 import agent_pb2
from triptych.archival.v1.archival_pb2 import ListArchivesRequest

router = Router(prefix="/v1", tags=["models"])


@router.get("/health")
async def health() -> Response:
    return answer({"version": "0.1.0", "status": "ok"})


@router.get("/models")
async def list_models(back: Back) -> Response:
    """The server's, and those of the caller's and its account's providers."""
    listed = await back.agent_peer.unary(back.agents.ListModels, agent_pb2.ListModelsRequest())
    return answer([_model(model) for model in listed.models])


@router.get("/models/embedding")
async def list_embedding_models(back: Back) -> Response:
    """The one that the server embeds with, whichever an agent names."""
    listed = await back.archival_peer.unary(back.archival.ListArchives, ListArchivesRequest(page_size=1))
    name = listed.embedding_model
    shown = {
        "handle": f"triptych/{name}",
        "name": name,
        "display_name": name,
        "model_type": "embedding",
        "embedding_model": name,
        "embedding_dim": listed.dimensions,
        "embedding_endpoint_type": "openai",
        "embedding_endpoint": None,
        "provider_name": "triptych",
        "provider_type": "openai",
    }
    return answer([shown])


def _model(model: agent_pb2.Model) -> dict[str, Any]:
    provider = model.provider_name or "openai-proxy"
    return {
        "handle": f"{provider}/{model.name}",
        "name": model.name,
        "model": model.name,
        "display_name": model.name,
        "model_type": "llm",
        "provider_type": "openai",
        "provider_name": provider,
        "model_endpoint_type": "openai",
        "context_window": model.context_window,
        "max_context_window": model.context_window,
    }
