"""The REST app: routes, errors, documentation."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp

from gateway.auth.keys import KeyAuthenticator
from gateway.backends import Backends
from gateway.mcp.door import McpDoor
from gateway.rest import (
    agents,
    archives,
    blocks,
    conversations,
    docs,
    memory,
    messages,
    models,
    own_memory,
    runs,
    search,
)
from gateway.rest.catalogue import Catalogue
from gateway.rest.door import Door, error_response
from gateway.rest.openai import chat as openai_chat
from gateway.rest.openai import models as openai_models
from gateway.rest.openai.form import OpenAiForm
from servicekit import rpc
from triptych.errors import TriptychError

VERSION = "0.1.0"


def make_app(backends: Backends, authenticator: KeyAuthenticator, mcp: McpDoor) -> ASGIApp:
    app = FastAPI(title="Triptych", version=VERSION, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.openapi_version = "3.0.3"  # what the bundled Swagger UI can show
    app.state.backends = backends
    app.state.catalogue = Catalogue(backends)
    for module in (agents, memory, messages, blocks, archives, search, conversations, runs, models, own_memory, docs):
        app.include_router(module.router)
    for openai in (openai_chat, openai_models):
        app.include_router(openai.router)
    app.router.routes.extend(mcp.routes)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(TriptychError, _expected)
    app.add_exception_handler(Exception, _unexpected)
    return OpenAiForm(Door(app, authenticator))


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
    return error_response(error.http_status, error.message)


async def _unexpected(_request: Request, error: Exception) -> Response:
    mapped = rpc.to_error(error)
    return error_response(mapped.http_status, mapped.message)
