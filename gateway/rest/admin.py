"""Accounts, users and keys: `GatewayService` as REST, with its own messages as JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import Request, Response
from google.protobuf.message import Message
from starlette.responses import StreamingResponse

from gateway.rest import contract_routes
from gateway.rest.contract_routes import Route
from gateway.rest.endpoints import Router
from triptych.gateway.v1 import gateway_pb2 as pb

_SERVICE = pb.DESCRIPTOR.services_by_name["GatewayService"]
router = Router(prefix="/v1", tags=["admin"])

ROUTES: tuple[Route, ...] = (
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


async def _call(request: Request, name: str, message: Message) -> Message:
    """The door's own service needs no way to another process."""
    response: Message = await getattr(request.app.state.servicer, name)(message)
    return response


contract_routes.add(router, _SERVICE, ROUTES, _call)


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
