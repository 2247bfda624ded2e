"""Vectors by pgvector: half precision, and exact search among one agent's (or one user's) rows."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, text

from embedders import Vectors
from recall_service.store import Filters, Found, Waiting
from recall_service.stores.postgres import scope
from servicekit.principal import Tenant

_REMOVE = text("DELETE FROM message_vectors WHERE n = ANY(:numbers)")
# Of the revision that was embedded only: what was changed meanwhile waits for its own.
_PUT = text(
    """
    INSERT INTO message_vectors (account_id, user_id, agent_id, n, conversation_id, role, created_at, vector)
    SELECT m.account_id, m.user_id, m.agent_id, m.n, m.conversation_id, m.role, m.created_at, CAST(v.vector AS halfvec)
    FROM unnest(CAST(:numbers AS bigint[]), CAST(:revisions AS bigint[]), CAST(:vectors AS text[]))
        AS v (n, revision, vector)
    JOIN messages AS m ON m.n = v.n AND m.revision = v.revision
    ON CONFLICT (agent_id, n) DO UPDATE SET vector = excluded.vector
    RETURNING n
    """
)
# <#> is the negative inner product; of vectors of length 1 the cosine's.
_FIND = """
    SELECT n, -(vector <#> CAST(:vector AS halfvec)) AS score FROM message_vectors
    WHERE {where} AND vector <#> CAST(:vector AS halfvec) < 0
    ORDER BY score DESC, n DESC LIMIT :most
"""


def remove(connection: Connection, numbers: Sequence[int]) -> None:
    connection.execute(_REMOVE, {"numbers": list(numbers)})


def remove_all(connection: Connection) -> None:
    connection.execute(text("TRUNCATE message_vectors"))


def put(connection: Connection, rows: Sequence[tuple[Waiting, Vectors]]) -> list[int]:
    """Keeps a vector (shape: dimensions) a message; gives the numbers of those that are still what was embedded."""
    parameters = {
        "numbers": [waiting.n for waiting, _ in rows],
        "revisions": [waiting.revision for waiting, _ in rows],
        "vectors": [_literal(vector) for _, vector in rows],
    }
    return list(connection.execute(_PUT, parameters).scalars())


def find(connection: Connection, tenant: Tenant, vector: Vectors, filters: Filters, most: int) -> list[Found]:
    """As `RecallStore.find_meaning`."""
    # The text is made of our own words: what is the caller's goes by parameters.
    query = text(_FIND.format(where=scope.where(filters)))
    parameters = scope.parameters(tenant, filters, vector=_literal(vector), most=most)
    return [Found(row.n, row.score) for row in connection.execute(query, parameters)]


def _literal(vector: Vectors) -> str:
    """As pgvector reads it: `[0.5,-1.0]`."""
    return str(vector.tolist()).replace(" ", "")
