"""What the servicers of AgentService share: writes that can be sent twice, and pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf.message import Message
from sqlalchemy import Connection

from agent_service.store import Store
from agent_service.stores.requests import once
from agent_service.stores.rows import Window
from servicekit import paging, principal
from servicekit.principal import Tenant

Response = TypeVar("Response", bound=Message)


class Servicing:
    _store: Store

    async def _once(
        self, request: Any, response_type: type[Response], work: Callable[[Connection, Tenant], Response]
    ) -> Response:
        """Runs a write in one transaction; a replay of its `request_id` gets the first answer."""
        tenant = principal.tenant()
        return await self._store.write(
            lambda c: once(c, tenant, request.request_id, request, response_type, lambda: work(c, tenant)),
            alone=tenant,
        )


def window_of(request: Any, *, newest_first: bool = False) -> Window:
    """The request's paging fields; its token is bound to everything else in the request, and to the caller."""
    rest = type(request)()
    rest.CopyFrom(request)
    for name in ("page_size", "page_token"):
        rest.ClearField(name)
    query = (request.DESCRIPTOR.full_name, *principal.tenant(), rest.SerializeToString(deterministic=True).hex())
    page = paging.read(
        size=request.page_size, token=request.page_token, query=query, order=request.order, newest_first=newest_first
    )
    return Window(page, getattr(request, "before_id", ""), getattr(request, "after_id", ""))
