"""Messages that wait to be embedded, shared out among the replicas."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, text

from recall_service.store import Waiting
from recall_service.stores import words
from servicekit.sql import Prepared
from triptych.recall.v1.recall_pb2 import Message

# What a replica claimed and did not embed by then (it died, its embedder is away) is for the others.
_CLAIM_SECONDS = 60

_ADD = Prepared(
    text("INSERT INTO pending (agent_id, n) SELECT * FROM unnest(CAST(:agents AS text[]), CAST(:numbers AS bigint[]))")
)
_REMOVE = text("DELETE FROM pending WHERE n = ANY(:numbers)")
_LOCK = text("SELECT n FROM pending WHERE n = ANY(:numbers) ORDER BY n FOR UPDATE")
_START_OVER = text(
    "INSERT INTO pending (agent_id, n) SELECT agent_id, n FROM message_vectors"
    " WHERE n NOT IN (SELECT n FROM pending WHERE n IS NOT NULL)"
)
_CLAIM = text(
    """
    WITH mine AS (
        SELECT agent_id, n FROM pending WHERE claimed_by = :replica OR claimed_until < :now
        ORDER BY n LIMIT :most FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE pending AS p SET claimed_by = :replica, claimed_until = :until
        FROM mine WHERE p.agent_id = mine.agent_id AND p.n = mine.n RETURNING p.agent_id, p.n, p.since
    )
    SELECT m.n, m.account_id, m.user_id, m.body, c.since
    FROM messages AS m JOIN claimed AS c ON m.agent_id = c.agent_id AND m.n = c.n ORDER BY m.n
    """
)


def add(connection: Connection, numbered: Mapping[int, Message]) -> None:
    agents = [message.agent_id for message in numbered.values()]
    _ADD.run(connection, {"agents": agents, "numbers": list(numbered)})


def remove(connection: Connection, numbers: Sequence[int]) -> None:
    connection.execute(_REMOVE, {"numbers": list(numbers)})


def lock(connection: Connection, numbers: Sequence[int]) -> list[int]:
    """Those that still wait. A change or a purge of theirs has now come before us, or waits for us."""
    return list(connection.execute(_LOCK, {"numbers": list(numbers)}).scalars())


def claim(connection: Connection, replica: str, most: int) -> list[Waiting]:
    """The oldest that no other replica has claimed; from now on this one has."""
    now = int(time.time())
    claims = {"replica": replica, "now": now, "until": now + _CLAIM_SECONDS, "most": most}
    return [words.waiting(*row) for row in connection.execute(_CLAIM, claims)]


def start_over(connection: Connection) -> None:
    """All that have vectors wait again, and nobody has claimed any."""
    connection.execute(text("UPDATE pending SET claimed_by = '', claimed_until = 0"))
    connection.execute(_START_OVER)
