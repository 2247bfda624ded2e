"""Serves accounts, users and keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from sqlalchemy import Connection

from gateway.audit import AuditLog
from gateway.auth import identity
from gateway.auth.identity import admin_account, check_operator
from gateway.auth.keys import Authenticator
from gateway.leaving.eraser import Eraser
from gateway.leaving.export import Exporter
from gateway.leaving.servicer import LeavingServicer
from gateway.secret import ServerSecret
from gateway.session.session import Sessions
from gateway.store import Store
from gateway.stores import accounts, audit, keys, users
from gateway.usage.book import UsageBook
from gateway.usage.servicer import UsageServicer
from servicekit import ids, paging
from servicekit.rpc import Context
from triptych.errors import PermissionDenied
from triptych.gateway.v1 import gateway_pb2 as pb

_FIRST_ADMIN = "admin"


@dataclass(frozen=True)
class Parts:
    """What it serves from."""

    store: Store
    secret: ServerSecret
    authenticator: Authenticator
    book: UsageBook
    audit: AuditLog
    eraser: Eraser
    exporter: Exporter
    sessions: Sessions


class GatewayServicer(UsageServicer, LeavingServicer):
    """REST calls these methods too, where there is no gRPC context."""

    def __init__(self, parts: Parts) -> None:
        self._store, self._secret, self._authenticator = parts.store, parts.secret, parts.authenticator
        self._book, self._audit = parts.book, parts.audit
        self._eraser, self._exporter = parts.eraser, parts.exporter
        self._sessions = parts.sessions

    def Session(  # type: ignore[override]  # its responses are encoded already
        self, request_iterator: AsyncIterator[pb.SessionRequest], context: Context
    ) -> AsyncIterator[bytes]:
        return self._sessions.serve(request_iterator, context)

    async def WhoAmI(self, request: pb.WhoAmIRequest, context: Context | None = None) -> pb.WhoAmIResponse:
        caller = identity.current()
        account_id, user_id = caller.principal.tenant
        user = await self._store.read(lambda c: users.get_or_account(c, account_id, user_id))
        return pb.WhoAmIResponse(account_id=account_id, user=user, kind=caller.kind, scope=caller.scope)

    async def CreateUser(self, request: pb.CreateUserRequest, context: Context | None = None) -> pb.CreateUserResponse:
        account_id = admin_account()
        made = await self._store.write(
            lambda c: users.create(c, account_id, request.name, request.request_id, request.metadata)
        )
        return pb.CreateUserResponse(user=made)

    async def GetUser(self, request: pb.GetUserRequest, context: Context | None = None) -> pb.GetUserResponse:
        account_id = admin_account()
        found = await self._store.read(lambda c: users.get(c, account_id, request.user_id))
        return pb.GetUserResponse(user=found)

    async def ListUsers(self, request: pb.ListUsersRequest, context: Context | None = None) -> pb.ListUsersResponse:
        account_id = admin_account()
        page = paging.read(size=request.page_size, token=request.page_token, query=("ListUsers", account_id))
        found, token = await self._store.read(lambda c: users.list_page(c, account_id, page))
        return pb.ListUsersResponse(users=found, next_page_token=token)

    async def UpdateUser(self, request: pb.UpdateUserRequest, context: Context | None = None) -> pb.UpdateUserResponse:
        account_id = admin_account()
        changed = await self._store.write(
            lambda c: users.change(c, account_id, request.user, request.update_mask.paths)
        )
        self._authenticator.forget()
        return pb.UpdateUserResponse(user=changed)

    async def CreateKey(self, request: pb.CreateKeyRequest, context: Context | None = None) -> pb.CreateKeyResponse:
        account_id, secret = admin_account(), keys.new_secret()
        if request.kind == pb.KEY_KIND_OPERATOR:
            check_operator()
        made = await self._store.write(lambda c: keys.create(c, self._secret, account_id, request, secret))
        return pb.CreateKeyResponse(key=made, secret=secret)

    async def ListKeys(self, request: pb.ListKeysRequest, context: Context | None = None) -> pb.ListKeysResponse:
        account_id = admin_account()
        query = ("ListKeys", account_id, request.user_id)
        page = paging.read(size=request.page_size, token=request.page_token, query=query)
        found, token = await self._store.read(lambda c: keys.list_page(c, account_id, request.user_id, page))
        return pb.ListKeysResponse(keys=found, next_page_token=token)

    async def RotateKey(self, request: pb.RotateKeyRequest, context: Context | None = None) -> pb.RotateKeyResponse:
        account_id, secret = admin_account(), keys.new_secret()
        await self._check_may_manage(account_id, request.key_id)
        rotated = await self._store.write(lambda c: keys.rotate(c, self._secret, account_id, request, secret))
        self._authenticator.forget()
        return pb.RotateKeyResponse(key=rotated, secret=secret)

    async def RevokeKey(self, request: pb.RevokeKeyRequest, context: Context | None = None) -> pb.RevokeKeyResponse:
        account_id = admin_account()
        await self._check_may_manage(account_id, request.key_id)
        revoked = await self._store.write(lambda c: keys.revoke(c, account_id, request.key_id))
        self._authenticator.forget()
        return pb.RevokeKeyResponse(key=revoked)

    async def ListAuditEvents(
        self, request: pb.ListAuditEventsRequest, context: Context | None = None
    ) -> pb.ListAuditEventsResponse:
        account_id, user_id = admin_account(), request.user_id
        query = ("ListAuditEvents", account_id, user_id)
        page = paging.read(size=request.page_size, token=request.page_token, query=query)
        # Who asks sees what was done before.
        await self._audit.write_down()
        if user_id and not ids.valid("user", user_id):  # the events of an erased user are still there by its id
            user_id = (await self._store.read(lambda c: users.get(c, account_id, user_id))).id
        found, token = await self._store.read(lambda c: audit.list_page(c, account_id, user_id, page))
        return pb.ListAuditEventsResponse(events=found, next_page_token=token)

    async def CreateAccount(
        self, request: pb.CreateAccountRequest, context: Context | None = None
    ) -> pb.CreateAccountResponse:
        check_operator()
        secret = keys.new_secret()

        def work(connection: Connection) -> pb.CreateAccountResponse:
            account = accounts.create(connection, request.name, request.request_id)
            admin = users.create(connection, account.id, request.admin_name or _FIRST_ADMIN)
            key = keys.create_admin(connection, self._secret, admin, secret)
            return pb.CreateAccountResponse(account=account, admin=admin, key=key, secret=secret)

        return await self._store.write(work)

    async def ListAccounts(
        self, request: pb.ListAccountsRequest, context: Context | None = None
    ) -> pb.ListAccountsResponse:
        check_operator()
        page = paging.read(size=request.page_size, token=request.page_token, query=("ListAccounts",))
        found, token = await self._store.read(lambda c: accounts.list_page(c, page))
        return pb.ListAccountsResponse(accounts=found, next_page_token=token)

    async def _check_may_manage(self, account_id: str, key_id: str) -> None:
        """Raises: NotFound; PermissionDenied for an operator key if the caller has none."""
        key = await self._store.read(lambda c: keys.get(c, account_id, key_id))
        if key.kind == pb.KEY_KIND_OPERATOR and identity.current().kind != pb.KEY_KIND_OPERATOR:
            raise PermissionDenied("an operator key is needed")
