"""Serves limits and usage."""

from __future__ import annotations

from sqlalchemy import Connection

from gateway import audit_trail
from gateway.auth import identity
from gateway.auth.identity import admin_account
from gateway.store import Store
from gateway.stores import usage, users
from gateway.stores.usage import EVERYBODY, Limits
from gateway.usage.book import UsageBook
from servicekit.principal import Tenant
from servicekit.rpc import Context
from triptych.errors import InvalidArgument
from triptych.gateway.v1 import gateway_pb2 as pb
from triptych.gateway.v1.gateway_pb2_grpc import GatewayServiceServicer


class UsageServicer(GatewayServiceServicer):
    """The part of GatewayService that is about usage."""

    _store: Store
    _book: UsageBook

    async def GetUsage(self, request: pb.GetUsageRequest, context: Context | None = None) -> pb.GetUsageResponse:
        tenant = identity.current().principal.tenant
        if request.user_id and request.user_id != tenant.user_id:
            account_id = admin_account()
            user = await self._store.read(lambda c: users.get_or_account(c, account_id, request.user_id))
            tenant = Tenant(account_id, user.id)
        account = await self._book.recounted(tenant)
        return pb.GetUsageResponse(
            user_id=tenant.user_id,
            requests_today=account.used.requests,
            tokens_today=account.used.tokens,
            stored_bytes=max(0, account.used.kept_bytes),
            live_turns=account.live_turns,
            limits=_to_limits(account.limits),
        )

    async def SetLimits(self, request: pb.SetLimitsRequest, context: Context | None = None) -> pb.SetLimitsResponse:
        account_id, wanted = admin_account(), _checked(request.limits)

        def work(connection: Connection) -> Tenant:
            named = request.user_id
            user_id = users.get_or_account(connection, account_id, named).id if named else EVERYBODY
            usage.set_limits(connection, Tenant(account_id, user_id), wanted)
            return Tenant(account_id, user_id)

        limited = await self._store.write(work)
        self._book.forget(limited)
        audit_trail.touched([limited.user_id] if limited.user_id else [])
        return pb.SetLimitsResponse(limits=_to_limits(wanted))


def _checked(limits: pb.Limits) -> Limits:
    """Raises: InvalidArgument for what is below zero, or no number."""
    for field in pb.Limits.DESCRIPTOR.fields:
        if not 0 <= getattr(limits, field.name) < float("inf"):
            raise InvalidArgument.of(f"limits.{field.name}", "must be zero or more")
    return Limits(limits.requests_per_second, limits.live_turns, limits.tokens_per_day, limits.stored_bytes)


def _to_limits(limits: Limits) -> pb.Limits:
    return pb.Limits(
        requests_per_second=limits.requests_per_second,
        live_turns=limits.live_turns,
        tokens_per_day=limits.tokens_per_day,
        stored_bytes=limits.stored_bytes,
    )
