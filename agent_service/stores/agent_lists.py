"""Lists of agents, and of their tags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, TableValuedAlias, exists, func, or_, select, true

from agent_service.stores import attached, identity_links
from agent_service.stores.agents import MAX_TAGS, ROWS, put
from agent_service.stores.rows import PlainPages, Window, fetch, like, mine, owned
from agent_service.stores.tables import agent_blocks, agents
from servicekit.paging import Page
from servicekit.principal import Tenant
from triptych.agent.v1.agent_pb2 import ListAgentsRequest, ListAgentsResponse
from triptych.errors import InvalidArgument
from triptych.type.v1 import type_pb2

_PAGES = PlainPages(ROWS.where(mine(agents)), agents)
# Of a ListAgentsRequest, the fields that say which agents are listed.
_CONDITIONS = ("name", "name_contains", "block_id", "tags", "identity_id", "identifier_keys")


def list_page(connection: Connection, tenant: Tenant, request: ListAgentsRequest, window: Window) -> ListAgentsResponse:
    conditions = any(getattr(request, name) for name in _CONDITIONS)
    if conditions or window.before_id or window.after_id:
        rows, token = fetch(connection, _filtered(connection, tenant, request), agents, tenant, window)
    else:
        rows, token = _PAGES.fetch(connection, tenant, window.page)
    by_agent = attached.rows_of_agents(connection, tenant, [row.id for row in rows])
    page = ListAgentsResponse(next_page_token=token)
    for row in rows:
        agent = page.agents.add()
        put(agent, row, by_agent.get(row.id, ()), tenant)
        for view in agent.open_files:
            view.ClearField("text")
    return page


def _filtered(connection: Connection, tenant: Tenant, request: ListAgentsRequest) -> Select[Any]:
    """Raises: InvalidArgument for more tags than an agent may have."""
    query = ROWS.where(
        owned(agents, tenant),
        *identity_links.having(agents, tenant, request.identity_id, request.identifier_keys),
    )
    if request.name:
        query = query.where(agents.c.name == request.name)
    if request.name_contains:
        query = query.where(agents.c.name.like(like(request.name_contains), escape="\\"))
    if request.block_id:
        query = query.where(
            exists().where(
                owned(agent_blocks, tenant),
                agent_blocks.c.agent_id == agents.c.id,
                agent_blocks.c.block_id == request.block_id,
            )
        )
    if len(request.tags) > MAX_TAGS:
        raise InvalidArgument.of("tags", f"must be at most {MAX_TAGS}")
    if request.tags:
        each = _tags(connection)
        has = [exists(select(1).select_from(each).where(each.c.value == tag)) for tag in request.tags]
        wanted = has if request.tag_match == type_pb2.TAG_MATCH_ALL else [or_(*has)]
        query = query.where(*wanted)
    return query


def count(connection: Connection, tenant: Tenant) -> int:
    return connection.execute(select(func.count()).select_from(agents).where(owned(agents, tenant))).scalar_one()


def list_tags(connection: Connection, tenant: Tenant, contains: str, page: Page) -> tuple[Sequence[str], str]:
    """Each tag once, by the alphabet. Raises: InvalidArgument for a forged token."""
    each = _tags(connection)
    tag, last = each.c.value, page.behind("")
    query = select(tag).distinct().select_from(agents.join(each, true())).where(owned(agents, tenant))
    if contains:
        query = query.where(tag.like(like(contains), escape="\\"))
    if page.cursor is not None:
        query = query.where(tag < last if page.descending else tag > last)
    query = query.order_by(tag.desc() if page.descending else tag).limit(page.size + 1)
    return page.cut(connection.execute(query).scalars().all(), str)


def _tags(connection: Connection) -> TableValuedAlias:
    """An agent's tags as a table, of which each has a `value`."""
    elements = func.json_array_elements_text if connection.dialect.name == "postgresql" else func.json_each
    return elements(agents.c.tags).table_valued("value")
