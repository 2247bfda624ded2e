"""Serves users and keys to admins."""

from __future__ import annotations

from collections.abc import AsyncIterator

from gateway.auth.keys import KeyAuthenticator
from gateway.session.session import Sessions
from gateway.store import Store
from gateway.stores import access
from servicekit import paging, principal
from servicekit.principal import Scope
from servicekit.rpc import Context
from triptych.errors import PermissionDenied
from triptych.gateway.v1 import gateway_pb2 as pb
from triptych.gateway.v1.gateway_pb2_grpc import GatewayServiceServicer


class GatewayServicer(GatewayServiceServicer):
    def __init__(self, store: Store, authenticator: KeyAuthenticator, sessions: Sessions) -> None:
        self._store, self._authenticator, self._sessions = store, authenticator, sessions

    async def WhoAmI(self, request: pb.WhoAmIRequest, context: Context) -> pb.WhoAmIResponse:
        identity = await self._authenticator.identify(dict(context.invocation_metadata() or ()))
        account_id, user_id = identity.principal.tenant
        user = await self._store.read(lambda c: access.get_user(c, account_id, user_id))
        return pb.WhoAmIResponse(account_id=account_id, user=user, kind=identity.kind)

    def Session(  # type: ignore[override]  # its responses are encoded already
        self, request_iterator: AsyncIterator[pb.SessionRequest], context: Context
    ) -> AsyncIterator[bytes]:
        return self._sessions.serve(request_iterator, context)

    async def CreateUser(self, request: pb.CreateUserRequest, context: Context) -> pb.CreateUserResponse:
        account_id = _admin_account()
        made = await self._store.write(lambda c: access.create_user(c, account_id, request.name, request.request_id))
        return pb.CreateUserResponse(user=made)

    async def GetUser(self, request: pb.GetUserRequest, context: Context) -> pb.GetUserResponse:
        account_id = _admin_account()
        found = await self._store.read(lambda c: access.get_user(c, account_id, request.user_id))
        return pb.GetUserResponse(user=found)

    async def ListUsers(self, request: pb.ListUsersRequest, context: Context) -> pb.ListUsersResponse:
        account_id = _admin_account()
        page = paging.read(size=request.page_size, token=request.page_token, query=("ListUsers", account_id))
        found, token = await self._store.read(lambda c: access.list_users(c, account_id, page))
        return pb.ListUsersResponse(users=found, next_page_token=token)

    async def CreateKey(self, request: pb.CreateKeyRequest, context: Context) -> pb.CreateKeyResponse:
        account_id, secret = _admin_account(), access.new_secret()
        made = await self._store.write(lambda c: access.create_key(c, account_id, request, secret))
        return pb.CreateKeyResponse(key=made, secret=secret)

    async def ListKeys(self, request: pb.ListKeysRequest, context: Context) -> pb.ListKeysResponse:
        account_id = _admin_account()
        query = ("ListKeys", account_id, request.user_id)
        page = paging.read(size=request.page_size, token=request.page_token, query=query)
        found, token = await self._store.read(lambda c: access.list_keys(c, account_id, request.user_id, page))
        return pb.ListKeysResponse(keys=found, next_page_token=token)

    async def RevokeKey(self, request: pb.RevokeKeyRequest, context: Context) -> pb.RevokeKeyResponse:
        account_id = _admin_account()
        revoked = await self._store.write(lambda c: access.revoke_key(c, account_id, request.key_id))
        self._authenticator.forget()
        return pb.RevokeKeyResponse(key=revoked)


def _admin_account() -> str:
    """The caller's account. Raises: PermissionDenied for a caller who is no admin."""
    caller = principal.current()
    if caller.scope is not Scope.ADMIN:
        raise PermissionDenied("an admin key is needed")
    return caller.tenant.account_id
