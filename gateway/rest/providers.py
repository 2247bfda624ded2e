"""Model providers: `ProviderService` as REST. What letta-client calls providers is the operator's affair here."""

from __future__ import annotations

from fastapi import Request
from google.protobuf.message import Message

from gateway.rest import contract_routes
from gateway.rest.contract_routes import Route
from gateway.rest.endpoints import Router
from triptych.agent.v1 import provider_pb2

ROUTES: tuple[Route, ...] = (
    ("POST", "/model-providers", "CreateProvider", "provider"),
    ("GET", "/model-providers", "ListProviders", ""),
    ("GET", "/model-providers/{provider_id}", "GetProvider", ""),
    ("PATCH", "/model-providers/{provider_id}", "UpdateProvider", "provider"),
    ("DELETE", "/model-providers/{provider_id}", "DeleteProvider", ""),
)
router = Router(prefix="/v1", tags=["providers"])


async def _call(request: Request, name: str, message: Message) -> Message:
    back = request.app.state.backends
    response: Message = await back.agent_peer.unary(getattr(back.providers, name), message)
    return response


contract_routes.add(router, provider_pb2.DESCRIPTOR.services_by_name["ProviderService"], ROUTES, _call)
