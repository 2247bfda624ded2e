"""Agents: what they are told, which model and tools they use, and which blocks and archives are theirs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    TableValuedAlias,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    true,
    update,
)

from agent_service import clock
from agent_service.stores import (
    attached,
    attaching,
    conversations,
    formats,
    identity_links,
    sleeps,
    steps,
    tool_rules,
    views,
)
from agent_service.stores.rows import PlainPages, Window, fetch, like, mine, of_owner, owned, owner
from agent_service.stores.tables import agent_blocks, agents, cleanups, journal, turns
from servicekit import ids, structs
from servicekit.paging import Page
from servicekit.principal import Tenant
from servicekit.sql import Prepared
from triptych.agent.v1.agent_pb2 import Agent, ListAgentsRequest, ListAgentsResponse
from triptych.errors import FailedPrecondition, InvalidArgument, NotFound
from triptych.type.v1 import type_pb2

MAX_NAME = 500
MAX_SYSTEM = 200_000
MAX_FALLBACKS = 8
MAX_TAGS = 100
_HERE = and_(mine(agents), agents.c.id == bindparam("agent_id"))
# What an agent is made of.
_ROWS = select(
    agents.c.id,
    agents.c.body,
    agents.c.created_at,
    agents.c.updated_at,
    agents.c.last_turn_at,
    identity_links.OF_AGENT,
)
_GET = Prepared(_ROWS.where(_HERE))
_INSERT = Prepared(insert(agents))
_PAGES = PlainPages(_ROWS.where(mine(agents)), agents)
_TOUCH = Prepared(update(agents).where(_HERE).values(last_turn_at=bindparam("at")))
# Of a ListAgentsRequest, the fields that say which agents are listed.
_CONDITIONS = ("name", "name_contains", "block_id", "tags", "identity_id", "identifier_keys")
UPDATABLE = frozenset(
    {
        "name",
        "description",
        "system",
        "model",
        "tools",
        "tags",
        "metadata",
        "timezone",
        "archive_ids",
        "embedding",
        "compaction",
        "tool_rules",
        "sleep_time",
        "identity_ids",
    }
)


def create(connection: Connection, tenant: Tenant, wanted: Agent, block_ids: Sequence[str]) -> Agent:
    """Makes an agent with its own blocks, its default conversation and the id of the archive it will insert into.

    Raises: InvalidArgument; AlreadyExists for two blocks of one label; NotFound for one of `block_ids`.
    """
    agent = Agent()
    agent.CopyFrom(wanted)
    agent.ClearField("blocks")
    agent.ClearField("open_files")
    agent.id = ids.new("agent")
    agent.name = agent.name or agent.id
    check(agent)
    agent.default_conversation_id = ids.derived("conv", agent.id)
    if not agent.archive_ids:
        agent.archive_ids.append(own_archive_id(agent.id))
    at, columns = clock.now(), _columns(agent)
    _INSERT.run(connection, {**owner(tenant), "id": agent.id, "created_at": at, "updated_at": at, **columns})
    conversations.insert_row(connection, tenant, agent.default_conversation_id, agent.id, "", at)
    own_blocks = attaching.create_with_agent(connection, tenant, agent.id, wanted.blocks)
    if not (block_ids or wanted.identity_ids):
        made = Agent.FromString(columns["body"])
        made.blocks.extend(own_blocks)
        _complete(made, (at, at, None))
        return made
    for block_id in block_ids:
        attaching.attach(connection, tenant, agent.id, block_id)
    if wanted.identity_ids:
        identity_links.replace_of_agent(connection, tenant, agent.id, wanted.identity_ids)
    return get(connection, tenant, agent.id)


def own_archive_id(agent_id: str) -> str:
    """The archive that comes with an agent: its id derives from the agent's, so that no insert has to look it up."""
    return ids.derived("archive", agent_id)


def searched_archives(agent: Agent) -> list[str]:
    """Those that it searches. Never empty, which would be all of the user's."""
    return list(agent.archive_ids) or [agent.id]  # which no archive has


def saving_archive(agent: Agent) -> str:
    """The one that it saves to. Raises: FailedPrecondition if all were taken from it."""
    if not agent.archive_ids:
        raise FailedPrecondition("the agent has no archive to save to: attach one")
    return agent.archive_ids[0]


def check(agent: Agent) -> None:
    """Raises: InvalidArgument for what can't be kept."""
    if len(agent.name) > MAX_NAME or "\0" in agent.name:
        raise InvalidArgument.of("name", f"must be at most {MAX_NAME} characters, without NUL")
    if len(agent.system) > MAX_SYSTEM:
        raise InvalidArgument.of("system", f"must be at most {MAX_SYSTEM:,} characters")
    for field in ("tags", "identity_ids"):
        if len(getattr(agent, field)) > MAX_TAGS:
            raise InvalidArgument.of(field, f"must be at most {MAX_TAGS}")
    if agent.model.context_window < 0 or agent.model.max_output_tokens < 0:
        raise InvalidArgument.of("model", "context_window and max_output_tokens must not be negative")
    if not math.isfinite(agent.model.temperature):
        raise InvalidArgument.of("model", "temperature must be a number")
    if len(agent.model.fallbacks) > MAX_FALLBACKS or not all(agent.model.fallbacks):
        raise InvalidArgument.of("model", f"fallbacks must be at most {MAX_FALLBACKS} names of models")
    for handle in (agent.model.handle, *agent.model.fallbacks, agent.compaction.model, agent.sleep_time.model.handle):
        formats.check_handle("model", handle)
    formats.check("model", agent.model.response_format)
    views.check(agent.compaction)
    structs.check("metadata", agent.metadata)
    tool_rules.check(agent.tool_rules)
    sleeps.check(agent.sleep_time)
    if len(agent.blocks) > attaching.MAX_BLOCKS:
        raise InvalidArgument.of("blocks", f"must be at most {attaching.MAX_BLOCKS}")


def get(connection: Connection, tenant: Tenant, agent_id: str) -> Agent:
    """Raises: NotFound."""
    row = _GET.first(connection, of_owner(tenant, agent_id=agent_id))
    if row is None:
        raise NotFound("agent", agent_id)
    agent = Agent()
    _put(agent, row, attached.rows_of_agent(connection, tenant, agent_id), tenant)
    return agent


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
        _put(agent, row, by_agent.get(row.id, ()), tenant)
        for view in agent.open_files:
            view.ClearField("text")
    return page


def _filtered(connection: Connection, tenant: Tenant, request: ListAgentsRequest) -> Select[Any]:
    """Raises: InvalidArgument for more tags than an agent may have."""
    query = _ROWS.where(
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


def change(connection: Connection, tenant: Tenant, wanted: Agent, paths: Sequence[str]) -> Agent:
    """Raises: NotFound, InvalidArgument."""
    agent = get(connection, tenant, wanted.id)
    for path in paths:
        if path not in UPDATABLE:
            raise InvalidArgument.of("update_mask", f"{path} can't be updated; it takes {', '.join(sorted(UPDATABLE))}")
        one = Agent()
        one.CopyFrom(wanted)
        for field in Agent.DESCRIPTOR.fields:
            if field.name != path:
                one.ClearField(field.name)  # type: ignore[arg-type]
        agent.ClearField(path)  # type: ignore[arg-type]
        agent.MergeFrom(one)
    check(agent)
    rewrite(connection, tenant, agent)
    if "sleep_time" in paths and not agent.sleep_time.enabled:
        sleeps.forget(connection, tenant, agent.id)
    if "identity_ids" in paths:
        identity_links.replace_of_agent(connection, tenant, agent.id, agent.identity_ids)
    return get(connection, tenant, agent.id)


def rewrite(connection: Connection, tenant: Tenant, agent: Agent) -> None:
    """Keeps the agent's own fields as they are now."""
    connection.execute(
        update(agents)
        .where(owned(agents, tenant), agents.c.id == agent.id)
        .values(updated_at=clock.now(), **_columns(agent))
    )


def remove(connection: Connection, tenant: Tenant, agent_id: str) -> None:
    """Deletes all that this service has of an agent, and notes what the other tiers have to purge. Raises: NotFound."""
    get(connection, tenant, agent_id)
    attaching.remove_of_agent(connection, tenant, agent_id)
    own_turns = select(turns.c.id).where(owned(turns, tenant), turns.c.agent_id == agent_id)
    connection.execute(delete(journal).where(owned(journal, tenant), journal.c.turn_id.in_(own_turns)))
    connection.execute(delete(turns).where(owned(turns, tenant), turns.c.agent_id == agent_id))
    steps.remove_of_agent(connection, tenant, agent_id)
    sleeps.remove_of_agent(connection, tenant, agent_id)
    identity_links.remove_of_resource(connection, tenant, agent_id)
    conversations.remove_of_agent(connection, tenant, agent_id)
    connection.execute(delete(agents).where(owned(agents, tenant), agents.c.id == agent_id))
    connection.execute(insert(cleanups).values(**owner(tenant), agent_id=agent_id, archive_id=own_archive_id(agent_id)))


def touch(connection: Connection, tenant: Tenant, agent_id: str, at: int) -> None:
    """Notes when the agent's last turn ended."""
    _TOUCH.run(connection, of_owner(tenant, agent_id=agent_id, at=at))


def _columns(agent: Agent) -> dict[str, Any]:
    kept = Agent()
    kept.CopyFrom(agent)
    for field in ("blocks", "identity_ids", "create_time", "update_time", "last_turn_time", "default_model"):
        kept.ClearField(field)
    kept.sleep_time.ClearField("conversation_id")
    return {"name": agent.name, "tags": list(agent.tags), "body": kept.SerializeToString()}


def _put(agent: Agent, row: Any, block_rows: Iterable[Any], tenant: Tenant) -> None:
    """Makes an empty message the row's agent."""
    agent.MergeFromString(row.body)
    for block_row in block_rows:
        attached.put(agent.blocks.add(), block_row, tenant)
    agent.identity_ids.extend(identity_links.split(row.identity_ids))
    _complete(agent, (row.created_at, row.updated_at, row.last_turn_at))


def _complete(agent: Agent, times: tuple[int, int, int | None]) -> None:
    """Adds what its body does not have. `times`: made, changed, last turn; in microseconds."""
    agent.sleep_time.conversation_id = sleeps.conversation_of(agent.id)
    clock.put(agent.create_time, times[0])
    clock.put(agent.update_time, times[1])
    if times[2] is not None:
        clock.put(agent.last_turn_time, times[2])
