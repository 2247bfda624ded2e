"""The outbox of the embedder, and the vectors that come of it, in SQLite."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, bindparam, delete, insert, literal, select

from embedders import Vectors
from recall_service.store import Waiting
from recall_service.stores import words
from recall_service.stores.matrix import VectorRow
from recall_service.stores.tables import messages, pending, vectors
from servicekit.principal import Tenant
from servicekit.sql import Prepared
from triptych.recall.v1.recall_pb2 import Message

_ADD = Prepared(insert(pending))
_WAITING = Prepared(
    select(messages.c.n, messages.c.account_id, messages.c.user_id, messages.c.body, pending.c.since)
    .join_from(pending, messages, pending.c.n == messages.c.n)
    .order_by(pending.c.n)
    .limit(bindparam("most"))
)
_PUT, _DONE = Prepared(insert(vectors)), Prepared(delete(pending).where(pending.c.n == bindparam("number")))
_CURRENT = (
    select(messages.c.n, messages.c.revision)
    .join_from(pending, messages, pending.c.n == messages.c.n)
    .where(pending.c.n.in_(bindparam("numbers", expanding=True)))
)
_SINCE = """
    SELECT m.n, m.role, m.created_at, m.sequence, m.conversation_id, m.name, m.asks, v.vector
    FROM messages AS m JOIN vectors AS v ON v.n = m.n
    WHERE m.account_id = ? AND m.user_id = ? AND m.n > ? {and_agent} ORDER BY m.n LIMIT ?
"""
_SINCE_OF_AGENT = _SINCE.format(and_agent="AND m.agent_id = ?")
_SINCE_OF_USER = _SINCE.format(and_agent="")


def add(connection: Connection, numbered: Mapping[int, Message]) -> None:
    """Leaves messages to be embedded; one without text has no meaning to find."""
    now = _now()
    if rows := [{"n": n, "since": now} for n, message in numbered.items() if message.text]:
        _ADD.run(connection, *rows)


def remove(connection: Connection, numbers: Sequence[int]) -> None:
    connection.execute(delete(pending).where(pending.c.n.in_(numbers)))
    connection.execute(delete(vectors).where(vectors.c.n.in_(numbers)))


def oldest(connection: Connection, most: int) -> list[Waiting]:
    return [words.waiting(*row) for row in _WAITING.all(connection, {"most": most})]


def put(connection: Connection, waiting: Sequence[Waiting], embedded: Vectors) -> None:
    """As `RecallStore.put_vectors`."""
    rows = connection.execute(_CURRENT, {"numbers": [each.n for each in waiting]})
    current = {row.n: row.revision for row in rows}
    halves = embedded.astype("<f2")
    good = [
        {"n": each.n, "vector": halves[at].tobytes()}
        for at, each in enumerate(waiting)
        if current.get(each.n) == each.revision
    ]
    _PUT.run(connection, *good)
    _DONE.run(connection, *({"number": row["n"]} for row in good))


def vectors_since(connection: Connection, tenant: Tenant, agent_id: str, after: int, most: int) -> list[VectorRow]:
    """The first `most` vectors of the agent (if empty, of the user) behind number `after`, and what is filtered by."""
    if agent_id:
        rows = connection.exec_driver_sql(_SINCE_OF_AGENT, (*tenant, after, agent_id, most))
    else:
        rows = connection.exec_driver_sql(_SINCE_OF_USER, (*tenant, after, most))
    return [tuple(row) for row in rows]


def start_over(connection: Connection) -> None:
    """All vectors go, and their messages wait again."""
    again = select(vectors.c.n, literal(_now())).where(vectors.c.n.not_in(select(pending.c.n)))
    connection.execute(insert(pending).from_select(["n", "since"], again))
    connection.execute(delete(vectors))


def _now() -> int:
    return time.time_ns() // 1000
