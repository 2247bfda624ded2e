"""The REST app: routes, errors, documentation."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from gateway.audit import AuditLog
from gateway.auth.keys import Authenticator
from gateway.backends import Backends
from gateway.batches.batches import Batches
from gateway.config import Settings
from gateway.groups.groups import Groups
from gateway.mcp.entrance import McpEntrance
from gateway.rest import (
    admin,
    agent_files,
    agents,
    archives,
    blocks,
    conversations,
    docs,
    folders,
    identities,
    mcp_servers,
    memory,
    messages,
    models,
    open_files,
    own_memory,
    providers,
    runs,
    search,
    sharing,
    steps,
    tool_search,
    tools,
    traces,
    unsupported,
    windows,
)
from gateway.rest import (
    batches as batch_routes,
)
from gateway.rest import (
    groups as group_routes,
)
from gateway.rest.catalogue import Catalogue
from gateway.rest.door import Door, error_answer, error_response
from gateway.rest.openai import chat as openai_chat
from gateway.rest.openai import models as openai_models
from gateway.rest.openai.form import OpenAiForm
from gateway.rest.routing import Api
from gateway.servicer import GatewayServicer
from gateway.usage.admission import Admission
from triptych.errors import TriptychError
from triptych.type.v1 import type_pb2

VERSION = "0.1.0"


def make_app(
    backends: Backends,
    catalogue: Catalogue,
    authenticator: Authenticator,
    admission: Admission,
    audit: AuditLog,
    servicer: GatewayServicer,
    mcp: McpEntrance,
    batches: Batches,
    groups: Groups,
    settings: Settings,
) -> ASGIApp:
    """The app behind its door."""
    app = make_api()
    app.state.backends = backends
    app.state.catalogue = catalogue
    app.state.servicer = servicer
    app.state.batches = batches
    app.state.groups = groups
    app.router.routes.extend(mcp.routes)
    door = OpenAiForm(Door(app, authenticator, admission, audit, secure=settings.tls is not None))
    if not settings.cors_origins:
        return door
    # Outermost, since a browser asks without a key whether it may.
    return CORSMiddleware(
        door,
        allow_origins=settings.cors_origins,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["authorization", "content-type", "idempotency-key", "triptych-user"],
        expose_headers=["retry-after"],
    )


def make_api() -> FastAPI:
    """All routes, with nothing behind them yet: enough for their OpenAPI document."""
    app = Api(title="Triptych", version=VERSION, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.openapi_version = "3.0.3"  # what the bundled Swagger UI can show
    for module in (
        agent_files,
        agents,
        memory,
        batch_routes,  # before messages, one of which could be called so
        messages,
        blocks,
        archives,
        folders,
        group_routes,
        open_files,
        identities,
        search,
        conversations,
        runs,
        models,
        own_memory,
        steps,
        windows,
        tool_search,
        tools,
        traces,
        mcp_servers,
    ):
        _add(app, module.router)
    for module in (openai_chat, openai_models, docs, admin, providers, sharing, unsupported):
        _add(app, module.router)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(TriptychError, _expected)
    return app


def _add(app: FastAPI, router: APIRouter) -> None:
    """As the app's own routes: those of an included router are looked through three times for each request."""
    app.router.routes.extend(router.routes)


async def _invalid(_request: Request, error: Exception) -> Response:
    """422 with where and what, and without the input, which may be somebody's words."""
    assert isinstance(error, RequestValidationError)
    problems = [{"loc": list(one["loc"]), "msg": one["msg"], "type": one["type"]} for one in error.errors()]
    return error_response(422, problems)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return error_response(404, f"there is no route {request.method} {request.url.path[:200]}")
    return error_response(error.status_code, error.detail)


async def _expected(_request: Request, error: Exception) -> Response:
    assert isinstance(error, TriptychError)
    if error.reason == type_pb2.ERROR_REASON_TURN_WAITING:  # as letta-client programs know it
        return error_response(409, error.message)
    return error_answer(error)
