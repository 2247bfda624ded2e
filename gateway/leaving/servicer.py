"""Serves erasure and export."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sqlalchemy import Connection

from gateway import audit_trail
from gateway.auth import identity
from gateway.auth.identity import admin_account
from gateway.auth.keys import Authenticator
from gateway.leaving.eraser import Eraser
from gateway.leaving.export import Exporter
from gateway.store import Store
from gateway.stores import erasures, users
from servicekit.principal import Principal, Tenant
from servicekit.rpc import Context
from triptych.errors import FailedPrecondition, NotFound
from triptych.gateway.v1 import gateway_pb2 as pb
from triptych.gateway.v1.gateway_pb2_grpc import GatewayServiceServicer


class LeavingServicer(GatewayServiceServicer):
    """The part of GatewayService that is about users who leave."""

    _store: Store
    _authenticator: Authenticator
    _eraser: Eraser
    _exporter: Exporter

    async def DeleteUser(self, request: pb.DeleteUserRequest, context: Context | None = None) -> pb.DeleteUserResponse:
        account_id, mine = admin_account(), identity.current().principal.tenant.user_id

        def work(connection: Connection) -> pb.Erasure:
            try:
                user = users.get(connection, account_id, request.user_id)
            except NotFound:
                return _receipt(connection, account_id, request.user_id)
            if user.id == mine:
                raise FailedPrecondition("the user whose key asks for it can't be erased: use another admin's")
            # From here on its keys are refused, so that nothing is written behind the erasure's back.
            users.change(connection, account_id, pb.User(id=user.id, disabled=True), ["disabled"])
            return erasures.begin(connection, Tenant(account_id, user.id))

        begun = await self._store.write(work)
        self._authenticator.forget()
        if not begun.HasField("end_time"):
            await self._eraser.run_soon()
        return pb.DeleteUserResponse(erasure=await self._store.read(lambda c: erasures.get(c, account_id, begun.id)))

    async def GetErasure(self, request: pb.GetErasureRequest, context: Context | None = None) -> pb.GetErasureResponse:
        account_id = admin_account()
        found = await self._store.read(lambda c: erasures.get(c, account_id, request.erasure_id))
        return pb.GetErasureResponse(erasure=found)

    async def ExportUser(
        self, request: pb.ExportUserRequest, context: Context | None = None
    ) -> AsyncIterator[pb.ExportUserResponse]:
        caller = identity.current().principal.tenant
        account_id, user_id = caller.account_id, request.user_id or caller.user_id
        if user_id != caller.user_id:
            admin_account()
        user = await self._store.read(lambda c: users.get_or_account(c, account_id, user_id))
        audit_trail.touched([user.id])
        async for piece in self._exporter.pieces(Principal(Tenant(account_id, user.id)), user):
            yield pb.ExportUserResponse(data=piece)


def _receipt(connection: Connection, account_id: str, user_id: str) -> pb.Erasure:
    """Of a user that is erased already. Raises: NotFound, as if it had never been, for any other."""
    try:
        return erasures.get(connection, account_id, user_id)
    except NotFound:
        raise NotFound("user", user_id[:200] or "(none)") from None
