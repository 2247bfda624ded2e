"""Accounts, users and keys, for admins."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from triptych.gateway.v1 import gateway_pb2 as pb
from triptych.sdk.aio.transport import AsyncTransport

_SERVICE = "/triptych.gateway.v1.GatewayService/"


class AsyncAccounts:
    """`client.accounts`. Needs an operator key (PermissionDenied)."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(self, name: str, *, admin: str = "", request_id: str | None = None) -> pb.CreateAccountResponse:
        """An account, its first user (named `admin` if no name is given) and an admin key, shown this once.

        Raises: AlreadyExists, InvalidArgument.

            made = await client.accounts.create("acme", admin="ann")
            print(made.account.id, made.secret)
        """
        request = pb.CreateAccountRequest(name=name, admin_name=admin, request_id=request_id or str(uuid.uuid4()))
        return await self._transport.unary(_SERVICE + "CreateAccount", request, pb.CreateAccountResponse)

    async def list(self) -> AsyncIterator[pb.Account]:
        request = pb.ListAccountsRequest(page_size=100)
        while True:
            page = await self._transport.unary(_SERVICE + "ListAccounts", request, pb.ListAccountsResponse)
            for account in page.accounts:
                yield account
            request.page_token = page.next_page_token
            if not request.page_token:
                return


class AsyncUsers:
    """`client.users`. All but `me` need an admin key (PermissionDenied). A user is named by its id or its name."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def me(self) -> pb.WhoAmIResponse:
        """Whom the key in use stands for."""
        return await self._transport.unary(_SERVICE + "WhoAmI", pb.WhoAmIRequest(), pb.WhoAmIResponse)

    async def create(
        self, name: str, *, metadata: Mapping[str, Any] | None = None, request_id: str | None = None
    ) -> pb.User:
        """Raises: AlreadyExists, InvalidArgument."""
        request = pb.CreateUserRequest(
            name=name, request_id=request_id or str(uuid.uuid4()), metadata=ParseDict(dict(metadata or {}), Struct())
        )
        return (await self._transport.unary(_SERVICE + "CreateUser", request, pb.CreateUserResponse)).user

    async def get(self, user: str) -> pb.User:
        """Raises: NotFound."""
        request = pb.GetUserRequest(user_id=user)
        return (await self._transport.unary(_SERVICE + "GetUser", request, pb.GetUserResponse)).user

    async def list(self) -> AsyncIterator[pb.User]:
        request = pb.ListUsersRequest(page_size=100)
        while True:
            page = await self._transport.unary(_SERVICE + "ListUsers", request, pb.ListUsersResponse)
            for user in page.users:
                yield user
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    async def update(
        self,
        user: str,
        *,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        disabled: bool | None = None,
    ) -> pb.User:
        """Changes what is given; a disabled user's keys are refused. Raises: NotFound, AlreadyExists."""
        given = {"name": name, "metadata": metadata, "disabled": disabled}
        wanted = pb.User(
            id=user, name=name or "", metadata=ParseDict(dict(metadata or {}), Struct()), disabled=bool(disabled)
        )
        paths = [path for path, value in given.items() if value is not None]
        request = pb.UpdateUserRequest(user=wanted, update_mask=FieldMask(paths=paths), request_id=str(uuid.uuid4()))
        return (await self._transport.unary(_SERVICE + "UpdateUser", request, pb.UpdateUserResponse)).user

    async def delete(self, user: str) -> pb.Erasure:
        """Erases a user in all tiers, for good. Without an `end_time` it goes on: ask `erasure` later.

        Raises: NotFound, FailedPrecondition (it is the caller).
        """
        request = pb.DeleteUserRequest(user_id=user, request_id=str(uuid.uuid4()))
        return (await self._transport.unary(_SERVICE + "DeleteUser", request, pb.DeleteUserResponse)).erasure

    async def erasure(self, erasure_or_user_id: str) -> pb.Erasure:
        """What an erasure has removed. Raises: NotFound."""
        request = pb.GetErasureRequest(erasure_id=erasure_or_user_id)
        return (await self._transport.unary(_SERVICE + "GetErasure", request, pb.GetErasureResponse)).erasure

    async def export(self, user: str = "") -> AsyncIterator[bytes]:
        """All of a user's data (default: the caller's) as a zip archive of NDJSON files, piece by piece.

        Raises: NotFound.

            with open("mine.zip", "wb") as file:
                async for piece in client.users.export():
                    file.write(piece)
        """
        request = pb.ExportUserRequest(user_id=user)
        async for answer in self._transport.stream(_SERVICE + "ExportUser", request, pb.ExportUserResponse):
            yield answer.data

    async def usage(self, user: str = "") -> pb.GetUsageResponse:
        """What a user (default: the caller) has used, and what it may. Raises: NotFound."""
        request = pb.GetUsageRequest(user_id=user)
        return await self._transport.unary(_SERVICE + "GetUsage", request, pb.GetUsageResponse)

    async def set_limits(self, user: str, limits: pb.Limits) -> pb.Limits:
        """In place of those it had; 0 is not set. `user` empty: each user that has none of its own."""
        request = pb.SetLimitsRequest(user_id=user, limits=limits, request_id=str(uuid.uuid4()))
        return (await self._transport.unary(_SERVICE + "SetLimits", request, pb.SetLimitsResponse)).limits


class AsyncKeys:
    """`client.keys`. Needs an admin key (PermissionDenied)."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(
        self,
        user: str = "",
        *,
        kind: pb.KeyKind.ValueType = pb.KEY_KIND_USER,
        name: str = "",
        scope: pb.KeyScope.ValueType = pb.KEY_SCOPE_UNSPECIFIED,
        expires: datetime | None = None,
    ) -> pb.CreateKeyResponse:
        """A key for a user, by id or name (for an application key: none). Its secret is shown this once.

        `scope`: all that the kind allows if it is not given. `expires`: never if it is not given.
        Raises: NotFound, InvalidArgument.

            user = await client.users.create("bob")
            made = await client.keys.create(user.id, name="laptop")
            print(made.key.id, made.secret)
        """
        request = pb.CreateKeyRequest(kind=kind, user_id=user, name=name, scope=scope, request_id=str(uuid.uuid4()))
        if expires is not None:
            stamp = Timestamp()
            stamp.FromDatetime(expires)
            request.expire_time.CopyFrom(stamp)
        return await self._transport.unary(_SERVICE + "CreateKey", request, pb.CreateKeyResponse)

    async def list(self, user: str = "") -> AsyncIterator[pb.Key]:
        """Of a user, or of the whole account. Raises: NotFound."""
        request = pb.ListKeysRequest(user_id=user, page_size=100)
        while True:
            page = await self._transport.unary(_SERVICE + "ListKeys", request, pb.ListKeysResponse)
            for key in page.keys:
                yield key
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    async def rotate(self, key_id: str, *, overlap_seconds: int = 0) -> pb.RotateKeyResponse:
        """Gives a key a new secret, shown this once; the old one stays valid for the overlap.

        Raises: NotFound, InvalidArgument, FailedPrecondition (it was revoked).
        """
        request = pb.RotateKeyRequest(key_id=key_id, overlap_seconds=overlap_seconds, request_id=str(uuid.uuid4()))
        return await self._transport.unary(_SERVICE + "RotateKey", request, pb.RotateKeyResponse)

    async def revoke(self, key_id: str) -> pb.Key:
        """Ends a key at once. Raises: NotFound."""
        request = pb.RevokeKeyRequest(key_id=key_id, request_id=str(uuid.uuid4()))
        return (await self._transport.unary(_SERVICE + "RevokeKey", request, pb.RevokeKeyResponse)).key


class AsyncAudit:
    """`client.audit`. Needs an admin key (PermissionDenied)."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(self, user: str = "") -> AsyncIterator[pb.AuditEvent]:
        """Who did what, oldest first: a user's doings, or the whole account's.

        Raises: NotFound.

            async for event in client.audit.list():
                print(event.create_time.ToDatetime(), event.user_id, event.action, list(event.resources))
        """
        request = pb.ListAuditEventsRequest(user_id=user, page_size=1000)
        while True:
            page = await self._transport.unary(_SERVICE + "ListAuditEvents", request, pb.ListAuditEventsResponse)
            for event in page.events:
                yield event
            request.page_token = page.next_page_token
            if not request.page_token:
                return
