"""What sleep-time memory has to read: noted with each turn's last commit, taken off with the commit of its own turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from agent_service import clock
from agent_service.stores import conversations
from agent_service.stores.rows import owned, owner
from agent_service.stores.tables import conversations as conversation_rows
from agent_service.stores.tables import sleep_runs, sleeps
from servicekit import ids
from servicekit.principal import Tenant
from triptych.agent.v1.agent_pb2 import Agent, SleepTimeSettings
from triptych.agent.v1.turn_pb2 import Turn
from triptych.errors import InvalidArgument, NotFound

DEFAULT_TURNS, DEFAULT_IDLE_SECONDS = 5, 300
_MOST_TURNS, _MOST_IDLE_SECONDS = 1_000, 30 * 86_400
_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS = 60, 6 * 3_600
_MICROSECONDS = 1_000_000
TITLE = "Sleep-time memory"


@dataclass(frozen=True)
class Due:
    """A conversation to be read, from the message behind `read_through` on, and of those what was said `since`.

    `turns`: how many have ended since it was read. `runs`: how many sleep-time turns have begun to read it.
    """

    tenant: Tenant
    agent_id: str
    conversation_id: str
    since: int
    read_through: int
    turns: int
    runs: int


@dataclass(frozen=True)
class Reading:
    """What one sleep-time turn reads. `sources`: ids of messages by their numbers in the transcript."""

    due: Due
    through: int
    complete: bool
    sources: Mapping[str, str]


def conversation_of(agent_id: str) -> str:
    """The conversation that an agent's sleep-time turns run in."""
    return ids.derived("conv", agent_id, "sleep-time")


def check(settings: SleepTimeSettings) -> None:
    """Raises: InvalidArgument."""
    if not 0 <= settings.every_turns <= _MOST_TURNS:
        raise InvalidArgument.of("sleep_time", f"every_turns must be 0 to {_MOST_TURNS:,}")
    if not 0 <= settings.idle_seconds <= _MOST_IDLE_SECONDS:
        raise InvalidArgument.of("sleep_time", f"idle_seconds must be 0 to {_MOST_IDLE_SECONDS:,}")


def note(connection: Connection, tenant: Tenant, agent: Agent, turn: Turn) -> None:
    """Counts a turn that has ended."""
    settings, now = agent.sleep_time, clock.now()
    row = _row(connection, tenant, turn.conversation_id)
    count = (row.turns if row is not None else 0) + 1
    wait = 0 if count >= (settings.every_turns or DEFAULT_TURNS) else settings.idle_seconds or DEFAULT_IDLE_SECONDS
    due_at = now + wait * _MICROSECONDS
    if row is not None and row.failures:  # not before the pause after a failure is over
        due_at = max(due_at, row.due_at or 0)
    if row is not None:
        _update(connection, tenant, turn.conversation_id, turns=count, due_at=due_at)
        return
    connection.execute(
        insert(sleeps).values(
            **owner(tenant),
            conversation_id=turn.conversation_id,
            agent_id=agent.id,
            turns=count,
            due_at=due_at,
            since=clock.microseconds(turn.create_time),
            read_through=0,
            failures=0,
        )
    )


def due(connection: Connection, most: int) -> list[Due]:
    """Of all users, the longest due first."""
    runs = (
        select(func.count())
        .select_from(sleep_runs)
        .where(*(sleep_runs.c[name] == sleeps.c[name] for name in ("account_id", "user_id", "conversation_id")))
        .scalar_subquery()
    )
    query = select(sleeps, runs.label("runs")).where(sleeps.c.due_at <= clock.now())
    return [
        Due(
            Tenant(row.account_id, row.user_id),
            row.agent_id,
            row.conversation_id,
            row.since,
            row.read_through,
            row.turns,
            row.runs,
        )
        for row in connection.execute(query.order_by(sleeps.c.due_at).limit(most))
    ]


def skip(connection: Connection, due: Due) -> None:
    """There is nothing to read now, unless another turn has ended meanwhile."""
    if not _more(connection, due):
        _update(connection, due.tenant, due.conversation_id, turns=0, due_at=None)


def begin(connection: Connection, reading: Reading, turn: Turn) -> None:
    """Takes off what the turn reads; with the commit that makes the turn durable."""
    due = reading.due
    done = reading.complete and not _more(connection, due)
    left = {"turns": 0, "due_at": None} if done else {"due_at": clock.now()}
    _update(connection, due.tenant, due.conversation_id, read_through=reading.through, **left)
    connection.execute(
        insert(sleep_runs).values(
            **owner(due.tenant),
            turn_id=turn.id,
            agent_id=due.agent_id,
            conversation_id=due.conversation_id,
            read_from=due.read_through,
            sources=dict(reading.sources),
        )
    )


def end(connection: Connection, tenant: Tenant, turn_id: str, *, failed: bool) -> None:
    """A sleep-time turn is over: if it failed, what it was to read is due again, later each time."""
    run = _run(connection, tenant, turn_id)
    if not failed:
        _update(connection, tenant, run.conversation_id, failures=0)
        return
    row = _row(connection, tenant, run.conversation_id)
    if row is None:  # the conversation was deleted
        return
    wait = min(_FIRST_RETRY_SECONDS * 2 ** min(row.failures, 20), _LAST_RETRY_SECONDS)
    _update(
        connection,
        tenant,
        run.conversation_id,
        read_through=min(row.read_through, run.read_from),
        due_at=clock.now() + wait * _MICROSECONDS,
        failures=row.failures + 1,
    )


def sources(connection: Connection, tenant: Tenant, turn_id: str) -> dict[str, str]:
    """Ids of the messages that a sleep-time turn reads, by their numbers. Raises: NotFound."""
    return dict(_run(connection, tenant, turn_id).sources)


def ensure_conversation(connection: Connection, tenant: Tenant, agent_id: str) -> None:
    """Makes the conversation that the agent's sleep-time turns run in, if there is none yet."""
    conversation_id = conversation_of(agent_id)
    known = select(conversation_rows.c.id).where(
        owned(conversation_rows, tenant), conversation_rows.c.id == conversation_id
    )
    if connection.execute(known).one_or_none() is None:
        conversations.insert_row(connection, tenant, conversation_id, agent_id, "", clock.now())
        named = update(conversation_rows).where(
            owned(conversation_rows, tenant), conversation_rows.c.id == conversation_id
        )
        connection.execute(named.values(title=TITLE))


def forget(connection: Connection, tenant: Tenant, agent_id: str) -> None:
    """Sleep time is off: what is unread stays unread, also when it is turned on again."""
    connection.execute(delete(sleeps).where(owned(sleeps, tenant), sleeps.c.agent_id == agent_id))


def remove_of_agent(connection: Connection, tenant: Tenant, agent_id: str) -> None:
    for table in (sleeps, sleep_runs):
        connection.execute(delete(table).where(owned(table, tenant), table.c.agent_id == agent_id))


def remove_of_conversation(connection: Connection, tenant: Tenant, conversation_id: str) -> None:
    """Reads it no more. What was taken from it stays, and can be undone."""
    connection.execute(delete(sleeps).where(owned(sleeps, tenant), sleeps.c.conversation_id == conversation_id))


def _more(connection: Connection, due: Due) -> bool:
    """Whether a turn has ended there since it was found due."""
    row = _row(connection, due.tenant, due.conversation_id)
    return row is not None and row.turns != due.turns


def _row(connection: Connection, tenant: Tenant, conversation_id: str) -> Any:
    query = select(sleeps).where(owned(sleeps, tenant), sleeps.c.conversation_id == conversation_id)
    return connection.execute(query).one_or_none()


def _run(connection: Connection, tenant: Tenant, turn_id: str) -> Any:
    row = connection.execute(
        select(sleep_runs).where(owned(sleep_runs, tenant), sleep_runs.c.turn_id == turn_id)
    ).one_or_none()
    if row is None:
        raise NotFound("sleep-time turn", turn_id)
    return row


def _update(connection: Connection, tenant: Tenant, conversation_id: str, **values: Any) -> None:
    connection.execute(
        update(sleeps).where(owned(sleeps, tenant), sleeps.c.conversation_id == conversation_id).values(**values)
    )
