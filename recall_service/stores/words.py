"""What a search reads: the words of every message (FTS5), and its vector once it has been embedded."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, text

from recall_service.stores.tables import messages, pending, settings, vectors
from servicekit.principal import Tenant
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2

# Words that nearly every message has, and that a question is full of; without them FTS5 finds more of what is meant.
_STOP_WORDS = frozenset(
    """
    a about all also am an and any are as at be because been but by can could did do does doing for from get got had
    has have he her here hers him his how i if in into is it its just let like may me might my no not of on or our ours
    out own she should so some such than that the their theirs them then there these they this those to too up us very
    was we were what when where which while who whom whose why will with would you your yours
    """.split()
)
_WORD = re.compile(r"\w+")
_MOST_WORDS = 32

_ADD = text("INSERT INTO messages_fts (rowid, scope, body) VALUES (:n, :scope, :body)")
_REMOVE = text("DELETE FROM messages_fts WHERE rowid IN :numbers").bindparams(bindparam("numbers", expanding=True))
# bm25 is negative, the better the lower; the scope's words count nothing.
_FIND = """
SELECT f.rowid AS n, -bm25(messages_fts, 0.0, 1.0) AS score
FROM messages_fts AS f JOIN messages AS m ON m.n = f.rowid
WHERE messages_fts MATCH :match AND m.account_id = :account_id AND m.user_id = :user_id {filters}
ORDER BY bm25(messages_fts, 0.0, 1.0) LIMIT :most
"""


@dataclass(frozen=True)
class Filters:
    """What may be found; empty or None means any. Times: microseconds, both ends included."""

    agent_id: str = ""
    conversation_id: str = ""
    roles: tuple[int, ...] = ()
    start: int | None = None
    end: int | None = None


def add(connection: Connection, tenant: Tenant, numbered: Mapping[int, Message]) -> None:
    """Indexes messages by their numbers, and leaves them to be embedded."""
    rows = [
        {"n": n, "scope": f"{_user_word(tenant)} {_agent_word(tenant, message.agent_id)}", "body": indexed(message)}
        for n, message in numbered.items()
    ]
    connection.execute(_ADD, rows)
    connection.execute(insert(pending), [{"n": n} for n in numbered])


def remove(connection: Connection, numbers: Sequence[int]) -> None:
    connection.execute(_REMOVE, {"numbers": list(numbers)})
    connection.execute(delete(pending).where(pending.c.n.in_(numbers)))
    connection.execute(delete(vectors).where(vectors.c.n.in_(numbers)))


def indexed(message: Message) -> str:
    """The text that is searched: who said it, what, and on which day."""
    speaker = message.name or type_pb2.Role.Name(message.role).removeprefix("ROLE_").lower()
    day = message.create_time.ToDatetime(UTC)
    return f"{speaker}: {message.text} ({day.day} {day:%B %Y})"


def find_words(
    connection: Connection, tenant: Tenant, query: str, filters: Filters, most: int
) -> list[tuple[int, float]]:
    """(n, score) of the best matches of any of the query's words, best first; scores are BM25's, above zero."""
    words = content_words(query)
    if not words:
        return []
    scope = _agent_word(tenant, filters.agent_id) if filters.agent_id else _user_word(tenant)
    match = f"scope : {scope} AND body : ({' OR '.join(_quoted(word) for word in words)})"
    clauses, parameters = _filter_sql(filters)
    rows = connection.execute(
        text(_FIND.format(filters=clauses)),
        {"match": match, "most": most, "account_id": tenant.account_id, "user_id": tenant.user_id, **parameters},
    )
    return [(row.n, row.score) for row in rows]


def content_words(query: str) -> list[str]:
    """The query's words without those that say nothing; all of them if nothing is left."""
    words = list(dict.fromkeys(_WORD.findall(query.lower())))
    return ([word for word in words if word not in _STOP_WORDS] or words)[:_MOST_WORDS]


def _quoted(word: str) -> str:
    """A word as an FTS5 string: whatever a user types, it is never read as FTS5's syntax."""
    return '"' + word.replace('"', '""') + '"'


def _filter_sql(filters: Filters) -> tuple[str, dict[str, Any]]:
    clauses, parameters = [], {}
    if filters.agent_id:
        clauses.append("AND m.agent_id = :agent_id")
        parameters["agent_id"] = filters.agent_id
    if filters.conversation_id:
        clauses.append("AND m.conversation_id = :conversation_id")
        parameters["conversation_id"] = filters.conversation_id
    if filters.roles:
        # Numbers of an enum, so they can stand in the text.
        clauses.append(f"AND m.role IN ({', '.join(str(int(role)) for role in filters.roles)})")
    if filters.start is not None:
        clauses.append(f"AND m.created_at >= {int(filters.start)}")
    if filters.end is not None:
        clauses.append(f"AND m.created_at <= {int(filters.end)}")
    return " ".join(clauses), parameters


def _user_word(tenant: Tenant) -> str:
    return "u" + _hash("/".join(tenant))


def _agent_word(tenant: Tenant, agent_id: str) -> str:
    return "a" + _hash("/".join((*tenant, agent_id)))


def _hash(value: str) -> str:
    return hashlib.blake2b(value.encode(), digest_size=10).hexdigest()


VectorRows = Sequence[Any]


def vectors_after(connection: Connection, tenant: Tenant, agent_id: str, n: int) -> VectorRows:
    """Vectors of the agent (or, if empty, of the user) behind number `n`, in order, with what a search filters by."""
    query = (
        select(
            messages.c.n,
            messages.c.role,
            messages.c.created_at,
            messages.c.conversation_id,
            vectors.c.vector,
        )
        .join_from(messages, vectors, messages.c.n == vectors.c.n)
        .where(messages.c.account_id == tenant.account_id, messages.c.user_id == tenant.user_id, messages.c.n > n)
        .order_by(messages.c.n)
    )
    if agent_id:
        query = query.where(messages.c.agent_id == agent_id)
    return connection.execute(query).all()


def bodies(connection: Connection, tenant: Tenant, numbers: Sequence[int]) -> dict[int, Message]:
    query = select(messages.c.n, messages.c.body).where(
        messages.c.account_id == tenant.account_id, messages.c.user_id == tenant.user_id, messages.c.n.in_(numbers)
    )
    return {row.n: Message.FromString(row.body) for row in connection.execute(query)}


def next_pending(connection: Connection, most: int) -> dict[int, Message]:
    """The oldest messages that wait to be embedded."""
    query = (
        select(messages.c.n, messages.c.body)
        .join_from(pending, messages, pending.c.n == messages.c.n)
        .order_by(pending.c.n)
        .limit(most)
    )
    return {row.n: Message.FromString(row.body) for row in connection.execute(query)}


def count_pending(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(pending)).scalar_one()


def store_vectors(connection: Connection, embedded: Mapping[int, tuple[int, bytes]]) -> None:
    """n → (revision that was embedded, vector). One that was changed or purged meanwhile is left out."""
    query = (
        select(messages.c.n, messages.c.body)
        .join_from(pending, messages, pending.c.n == messages.c.n)
        .where(pending.c.n.in_(list(embedded)))
    )
    current = {row.n: Message.FromString(row.body).revision for row in connection.execute(query)}
    good = [n for n, (revision, _) in embedded.items() if current.get(n) == revision]
    if good:
        connection.execute(insert(vectors), [{"n": n, "vector": embedded[n][1]} for n in good])
        connection.execute(delete(pending).where(pending.c.n.in_(good)))


def use_model(connection: Connection, model: str, dimensions: int) -> bool:
    """Notes whose vectors these are. If they were another model's, all are made anew; says whether that is so."""
    wanted = f"{model}/{dimensions}"
    known = connection.execute(select(settings.c.value).where(settings.c.name == "embedder")).scalar()
    if known == wanted:
        return False
    connection.execute(delete(settings).where(settings.c.name == "embedder"))
    connection.execute(insert(settings).values(name="embedder", value=wanted))
    connection.execute(delete(vectors))
    connection.execute(delete(pending))
    connection.execute(insert(pending).from_select(["n"], select(messages.c.n)))
    return known is not None
