"""What letta-client can ask for and is not here: it is told so, and what to do instead."""

from __future__ import annotations

from fastapi import Response
from starlette.requests import Request

from gateway.rest.door import error_response
from gateway.rest.endpoints import Router

router = Router(include_in_schema=False)

_HOSTED = "it belongs to Letta's hosted service"
# The beginning of a path → why.
REASONS = {
    "/v1/sources": "sources are folders by an older name: use /v1/folders",
    "/v1/agents/{agent_id}/sources": "sources are folders by an older name: use /v1/agents/{agent_id}/folders",
    "/v1/providers": "the server's endpoint is its operator's, your own are at /v1/model-providers",
    "/v1/sandbox-config": "the server's sandbox is set by its operator",
    "/v1/voice-beta": "voice was given up by Letta",
    "/v1/agents/{agent_id}/schedule": _HOSTED,
    "/v1/client-side-access-tokens": _HOSTED,
    "/v1/environments": _HOSTED,
    "/v1/templates": _HOSTED,
}
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


async def _answer(request: Request) -> Response:
    reason = REASONS[request.scope["route"].path.removesuffix("/{rest:path}")]
    return error_response(501, f"{request.method} {request.url.path[:200]} is not supported: {reason}")


for _path in REASONS:
    router.add_api_route(_path, _answer, methods=_METHODS)
    router.add_api_route(_path + "/{rest:path}", _answer, methods=_METHODS)
