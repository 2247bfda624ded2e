# Generated from triptych/sdk/aio by scripts/generate_sync.py: change it there.
"""Users and keys, for admins."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from triptych.gateway.v1 import gateway_pb2 as pb
from triptych.sdk.sync.transport import Transport

_SERVICE = "/triptych.gateway.v1.GatewayService/"


class Users:
    """`client.users`. All but `me` need an admin key (PermissionDenied)."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def me(self) -> pb.WhoAmIResponse:
        """Whom the key in use stands for."""
        return self._transport.unary(_SERVICE + "WhoAmI", pb.WhoAmIRequest(), pb.WhoAmIResponse)

    def create(self, name: str, *, request_id: str | None = None) -> pb.User:
        """Raises: AlreadyExists, InvalidArgument."""
        request = pb.CreateUserRequest(name=name, request_id=request_id or str(uuid.uuid4()))
        return (self._transport.unary(_SERVICE + "CreateUser", request, pb.CreateUserResponse)).user

    def list(self) -> Iterator[pb.User]:
        request = pb.ListUsersRequest(page_size=100)
        while True:
            page = self._transport.unary(_SERVICE + "ListUsers", request, pb.ListUsersResponse)
            for user in page.users:
                yield user
            request.page_token = page.next_page_token
            if not request.page_token:
                return


class Keys:
    """`client.keys`. Needs an admin key (PermissionDenied)."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self, user: str = "", *, kind: pb.KeyKind.ValueType = pb.KEY_KIND_USER, name: str = ""
    ) -> pb.CreateKeyResponse:
        """A key for a user, by id or name (for an application key: none). Its secret is shown this once.

        Raises: NotFound, InvalidArgument.
        """
        request = pb.CreateKeyRequest(kind=kind, user_id=user, name=name, request_id=str(uuid.uuid4()))
        return self._transport.unary(_SERVICE + "CreateKey", request, pb.CreateKeyResponse)

    def list(self, user: str = "") -> Iterator[pb.Key]:
        """Of a user, or of the whole account. Raises: NotFound."""
        request = pb.ListKeysRequest(user_id=user, page_size=100)
        while True:
            page = self._transport.unary(_SERVICE + "ListKeys", request, pb.ListKeysResponse)
            for key in page.keys:
                yield key
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    def revoke(self, key_id: str) -> pb.Key:
        """Ends a key at once. Raises: NotFound."""
        request = pb.RevokeKeyRequest(key_id=key_id, request_id=str(uuid.uuid4()))
        return (self._transport.unary(_SERVICE + "RevokeKey", request, pb.RevokeKeyResponse)).key
