"""Accounts, users and keys: `GatewayService` as REST, with its own messages as JSON."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from google.protobuf import message_factory
from starlette.responses import StreamingResponse

from gateway.rest import proto_json
from gateway.rest.common import answer
from gateway.rest.proto_json import Json
from servicekit import principal, rpc, scopes
from triptych.gateway.v1 import gateway_pb2 as pb

_SERVICE = pb.DESCRIPTOR.services_by_name["GatewayService"]
router = APIRouter(prefix="/v1", tags=["admin"])

# (HTTP method, path, RPC, the field that a PATCH's body is). Parameters of the path are fields of the request.
ROUTES: tuple[tuple[str, str, str, str], ...] = (
    ("GET", "/me", "WhoAmI", ""),
    ("GET", "/usage", "GetUsage", ""),
    ("DELETE", "/admin/users/{user_id}", "DeleteUser", ""),
    ("GET", "/admin/erasures/{erasure_id}", "GetErasure", ""),
    ("GET", "/admin/users/{user_id}/usage", "GetUsage", ""),
    ("PUT", "/admin/users/{user_id}/limits", "SetLimits", ""),
    ("PUT", "/admin/limits", "SetLimits", ""),
    ("GET", "/admin/audit", "ListAuditEvents", ""),
    ("POST", "/admin/accounts", "CreateAccount", ""),
    ("GET", "/admin/accounts", "ListAccounts", ""),
    ("POST", "/admin/users", "CreateUser", ""),
    ("GET", "/admin/users", "ListUsers", ""),
    ("GET", "/admin/users/{user_id}", "GetUser", ""),
    ("PATCH", "/admin/users/{user_id}", "UpdateUser", "user"),
    ("POST", "/admin/keys", "CreateKey", ""),
    ("GET", "/admin/keys", "ListKeys", ""),
    ("POST", "/admin/keys/{key_id}/rotate", "RotateKey", ""),
    ("DELETE", "/admin/keys/{key_id}", "RevokeKey", ""),
)


def _endpoint(name: str, patched: str) -> Callable[[Request], Any]:
    method = _SERVICE.methods_by_name[name]
    request_type = message_factory.GetMessageClass(method.input_type)

    async def endpoint(request: Request) -> Response:
        fields = await _fields(request, patched)
        if "request_id" in method.input_type.fields_by_name and "idempotency-key" in request.headers:
            fields.setdefault("request_id", request.headers["idempotency-key"])
        scopes.check(principal.current(), rpc.full_name(method))
        response = await getattr(request.app.state.servicer, name)(proto_json.parsed(request_type, fields))
        return answer(proto_json.shown(response))

    return endpoint


async def _fields(request: Request, patched: str) -> Json:
    """The RPC's request: its fields are the query's and the body's, and above both the path's."""
    given = {**request.query_params, **await proto_json.body(request)}
    if not patched:
        return {**given, **request.path_params}
    mask = ",".join(re.sub("_([a-z])", lambda found: found[1].upper(), name) for name in given)
    return {patched: {**given, "id": next(iter(request.path_params.values()))}, "update_mask": mask}


def _documented(method: str, path: str, name: str, patched: str) -> Json:
    """What OpenAPI says of a route beside what FastAPI sees of it: nothing but the path."""
    descriptor = _SERVICE.methods_by_name[name].input_type
    described = proto_json.schema(descriptor)
    properties = described["properties"][patched]["properties"] if patched else described["properties"]
    in_path = re.findall(r"{(\w+)}", path)
    rest = {field: schema for field, schema in properties.items() if field not in (*in_path, "id")}
    parameters = [{"name": field, "in": "path", "required": True, "schema": {"type": "string"}} for field in in_path]
    if method in ("GET", "DELETE"):
        parameters += [{"name": field, "in": "query", "schema": schema} for field, schema in rest.items()]
        return {"parameters": parameters}
    content = {"application/json": {"schema": {"type": "object", "properties": rest}}}
    return {"parameters": parameters, "requestBody": {"content": content}}


for _method, _path, _name, _patched in ROUTES:
    router.add_api_route(
        _path,
        _endpoint(_name, _patched),
        methods=[_method],
        operation_id=re.sub(r"\W+", "_", f"{_method.lower()}{_path}").strip("_"),
        name=_name,
        openapi_extra=_documented(_method, _path, _name, _patched),
    )


@router.get("/export")
async def export_me(request: Request) -> Response:
    """All of the caller's data as a zip archive of NDJSON files."""
    return await _exported(request, "")


@router.get("/admin/users/{user_id}/export")
async def export_user(user_id: str, request: Request) -> Response:
    """All of a user's data as a zip archive of NDJSON files."""
    return await _exported(request, user_id)


async def _exported(request: Request, user_id: str) -> Response:
    answers = request.app.state.servicer.ExportUser(pb.ExportUserRequest(user_id=user_id))
    # The first piece before the headers: a user that is not there is a plain 404.
    first = (await anext(answers)).data

    async def pieces() -> AsyncIterator[bytes]:
        yield first
        async for piece in answers:
            yield piece.data

    headers = {"content-disposition": 'attachment; filename="triptych-export.zip"'}
    return StreamingResponse(pieces(), media_type="application/zip", headers=headers)
