"""Agents: what they are told, which model and tools they use, and which blocks and archives are theirs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    delete,
    insert,
    select,
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
from agent_service.stores.rows import mine, of_owner, owned, owner
from agent_service.stores.tables import agents, cleanups, journal, turns
from servicekit import ids, structs
from servicekit.principal import Tenant
from servicekit.sql import Prepared
from triptych.agent.v1.agent_pb2 import Agent
from triptych.errors import InvalidArgument, NotFound

MAX_NAME = 500
MAX_SYSTEM = 200_000
MAX_FALLBACKS = 8
MAX_TAGS = 100
_HERE = and_(mine(agents), agents.c.id == bindparam("agent_id"))
# What `put` makes an agent of.
ROWS = select(
    agents.c.id,
    agents.c.body,
    agents.c.created_at,
    agents.c.updated_at,
    agents.c.last_turn_at,
    identity_links.OF_AGENT,
)
_GET = Prepared(ROWS.where(_HERE))
_INSERT = Prepared(insert(agents))
_TOUCH = Prepared(update(agents).where(_HERE).values(last_turn_at=bindparam("at")))
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


def create(
    connection: Connection, tenant: Tenant, wanted: Agent, block_ids: Sequence[str], *, own_archive: bool = False
) -> Agent:
    """Makes an agent with its own blocks, its default conversation and the id of the archive it will insert into.

    `own_archive`: also if there are others, since it can't insert into the first of these.

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
    if own_archive or not agent.archive_ids:
        agent.archive_ids.insert(0, own_archive_id(agent.id))
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


def _check_lists(agent: Agent) -> None:
    """Raises: InvalidArgument."""
    for field in ("tags", "identity_ids"):
        if len(getattr(agent, field)) > MAX_TAGS:
            raise InvalidArgument.of(field, f"must be at most {MAX_TAGS}")
    if any("\0" in tag for tag in agent.tags):  # PostgreSQL can't list tags where one has it
        raise InvalidArgument.of("tags", "must not contain NUL characters")


def check(agent: Agent) -> None:
    """Raises: InvalidArgument for what can't be kept."""
    if len(agent.name) > MAX_NAME or "\0" in agent.name:
        raise InvalidArgument.of("name", f"must be at most {MAX_NAME} characters, without NUL")
    if len(agent.system) > MAX_SYSTEM:
        raise InvalidArgument.of("system", f"must be at most {MAX_SYSTEM:,} characters")
    _check_lists(agent)
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
    put(agent, row, attached.rows_of_agent(connection, tenant, agent_id), tenant)
    return agent


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


def put(agent: Agent, row: Any, block_rows: Iterable[Any], tenant: Tenant) -> None:
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
