"""Which agents and blocks have which identities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    ScalarSelect,
    Table,
    and_,
    delete,
    exists,
    func,
    insert,
    select,
)

from agent_service.stores.rows import owned, owner
from agent_service.stores.tables import agents, identities, identity_links
from servicekit.principal import Tenant
from triptych.errors import InvalidArgument, NotFound

MAX_KEYS = 1_000


def _of_row(table: Table, resource_id: Column[str]) -> ColumnElement[bool]:
    """The links of the row of an outer query."""
    return and_(
        identity_links.c.account_id == table.c.account_id,
        identity_links.c.user_id == table.c.user_id,
        identity_links.c.resource_id == resource_id,
    )


def _of_agents_row() -> ScalarSelect[str]:
    joined = func.aggregate_strings(identity_links.c.identity_id, ",")
    return select(joined).where(_of_row(agents, agents.c.id)).correlate(agents).scalar_subquery()


# A column for a query of agents, so that they need no second one.
OF_AGENT = _of_agents_row().label("identity_ids")


def split(joined: str | None) -> list[str]:
    """The ids in a value of OF_AGENT."""
    return sorted(joined.split(",")) if joined else []


def having(table: Table, tenant: Tenant, identity_id: str, keys: Sequence[str]) -> list[ColumnElement[bool]]:
    """Conditions on rows of `table` (agents, blocks): they have that identity, and one of these keys; empty: any.

    Raises: InvalidArgument for too many keys.
    """
    if len(keys) > MAX_KEYS:
        raise InvalidArgument.of("identifier_keys", f"must be at most {MAX_KEYS}")
    conditions: list[ColumnElement[bool]] = []
    linked = (owned(identity_links, tenant), identity_links.c.resource_id == table.c.id)
    if identity_id:
        conditions.append(exists().where(*linked, identity_links.c.identity_id == identity_id))
    if keys:
        of_keys = select(identities.c.id).where(owned(identities, tenant), identities.c.identifier_key.in_(keys))
        conditions.append(exists().where(*linked, identity_links.c.identity_id.in_(of_keys)))
    return conditions


def resources_of(connection: Connection, tenant: Tenant, identity_ids: Sequence[str]) -> dict[str, list[str]]:
    """Ids of the agents and blocks that have each of the identities."""
    query = select(identity_links.c.identity_id, identity_links.c.resource_id).where(
        owned(identity_links, tenant), identity_links.c.identity_id.in_(identity_ids)
    )
    found: dict[str, list[str]] = {}
    for identity_id, resource_id in connection.execute(query.order_by(identity_links.c.resource_id)):
        found.setdefault(identity_id, []).append(resource_id)
    return found


def add(connection: Connection, tenant: Tenant, identity_id: str, resource_ids: Iterable[str]) -> None:
    """What has it already keeps it. That the identity and the resources are there has been checked."""
    known = set(resources_of(connection, tenant, [identity_id]).get(identity_id, ()))
    for resource_id in dict.fromkeys(resource_ids):
        if resource_id not in known:
            connection.execute(
                insert(identity_links).values(**owner(tenant), identity_id=identity_id, resource_id=resource_id)
            )


def remove(connection: Connection, tenant: Tenant, identity_id: str, resource_ids: Sequence[str]) -> None:
    connection.execute(
        delete(identity_links).where(
            owned(identity_links, tenant),
            identity_links.c.identity_id == identity_id,
            identity_links.c.resource_id.in_(resource_ids),
        )
    )


def remove_of_resource(connection: Connection, tenant: Tenant, resource_id: str) -> None:
    connection.execute(
        delete(identity_links).where(owned(identity_links, tenant), identity_links.c.resource_id == resource_id)
    )


def replace_of_agent(connection: Connection, tenant: Tenant, agent_id: str, identity_ids: Sequence[str]) -> None:
    """Gives the agent these identities in place of those that it had. Raises: NotFound."""
    wanted = list(dict.fromkeys(identity_ids))
    known = select(identities.c.id).where(owned(identities, tenant), identities.c.id.in_(wanted))
    there = set(connection.execute(known).scalars())
    for identity_id in wanted:
        if identity_id not in there:
            raise NotFound("identity", identity_id)
    remove_of_resource(connection, tenant, agent_id)
    for identity_id in wanted:
        connection.execute(
            insert(identity_links).values(**owner(tenant), identity_id=identity_id, resource_id=agent_id)
        )
