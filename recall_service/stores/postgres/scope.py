"""What the tables of words and of vectors have in common: whose message it is, and what is filtered by."""

from __future__ import annotations

from typing import Any

from recall_service.store import Filters
from recall_service.stores.tables import owner
from servicekit.principal import Tenant


def where(filters: Filters) -> str:
    """The condition that a row is the owner's and passes the filters, whose parameters `parameters` gives."""
    parts = [
        "account_id = :owner_account AND user_id = :owner_user",
        "role = ANY(:roles) AND created_at BETWEEN :start AND :end",
    ]
    if filters.scope.agent_id:  # said outright, so that one partition is searched and not all
        parts.append("agent_id = :agent_id")
    if filters.scope.conversation_id:
        parts.append("conversation_id = :conversation_id")
    return " AND ".join(parts)


def parameters(tenant: Tenant, filters: Filters, **more: Any) -> dict[str, Any]:
    return owner(
        tenant,
        agent_id=filters.scope.agent_id,
        conversation_id=filters.scope.conversation_id,
        roles=list(filters.roles),
        start=filters.start,
        end=filters.end,
        **more,
    )
