"""The index of words: FTS5 over who said it, what, and on which day."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC

from sqlalchemy import Connection, bindparam, text

from recall_service.likeness import content_words
from recall_service.store import Filters, Found
from recall_service.stores.tables import owner
from servicekit.principal import Tenant
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2

_ADD = text("INSERT INTO messages_fts (rowid, scope, body) VALUES (:n, :scope, :body)")
_REMOVE = text("DELETE FROM messages_fts WHERE rowid IN :numbers").bindparams(bindparam("numbers", expanding=True))
# bm25 is negative, the better the lower; the scope's words count nothing. CROSS JOIN: the words come first, else SQLite
# may walk through all of the owner's messages and ask FTS5 about each.
_FIND = text(
    """
    SELECT f.rowid AS n, -bm25(messages_fts, 0.0, 1.0) AS score
    FROM messages_fts AS f CROSS JOIN messages AS m ON m.n = f.rowid
    WHERE messages_fts MATCH :match AND m.account_id = :owner_account AND m.user_id = :owner_user
        AND (:agent_id = '' OR m.agent_id = :agent_id)
        AND (:conversation_id = '' OR m.conversation_id = :conversation_id)
        AND m.role IN :roles AND m.created_at BETWEEN :start AND :end
    ORDER BY bm25(messages_fts, 0.0, 1.0), f.rowid DESC LIMIT :most
    """
).bindparams(bindparam("roles", expanding=True))


def add(connection: Connection, tenant: Tenant, numbered: Mapping[int, Message]) -> None:
    """Indexes messages by their numbers; one without text has no words to find."""
    rows = [
        {"n": n, "scope": f"{user_word(tenant)} {agent_word(tenant, message.agent_id)}", "body": indexed(message)}
        for n, message in numbered.items()
        if message.text
    ]
    if rows:
        connection.execute(_ADD, rows)


def remove(connection: Connection, numbers: Sequence[int]) -> None:
    connection.execute(_REMOVE, {"numbers": list(numbers)})


def compact(connection: Connection) -> None:
    """FTS5 keeps a removed message's words in old segments until these are merged."""
    connection.execute(text("INSERT INTO messages_fts (messages_fts) VALUES ('optimize')"))


def indexed(message: Message) -> str:
    """The text that is searched."""
    speaker = message.name or type_pb2.Role.Name(message.role).removeprefix("ROLE_").lower()
    day = message.create_time.ToDatetime(UTC)
    return f"{speaker}: {message.text} ({day.day} {day:%B %Y})"


def find(connection: Connection, tenant: Tenant, query: str, filters: Filters, most: int) -> list[Found]:
    """As `RecallStore.find_words`; scores are BM25's with the sign turned."""
    words = content_words(query)
    if not words:
        return []
    agent_id = filters.scope.agent_id
    scope = agent_word(tenant, agent_id) if agent_id else user_word(tenant)
    # Each word is an FTS5 string of word characters alone: whatever is typed, it is never read as FTS5's syntax.
    any_word = " OR ".join(f'"{word}"' for word in words)
    parameters = owner(
        tenant,
        match=f"scope : {scope} AND body : ({any_word})",
        agent_id=agent_id,
        conversation_id=filters.scope.conversation_id,
        roles=filters.roles,
        start=filters.start,
        end=filters.end,
        most=most,
    )
    return [Found(row.n, row.score) for row in connection.execute(_FIND, parameters)]


def user_word(tenant: Tenant) -> str:
    return "u" + _hash("/".join(tenant))


def agent_word(tenant: Tenant, agent_id: str) -> str:
    return "a" + _hash("/".join((*tenant, agent_id)))


def _hash(value: str) -> str:
    return hashlib.blake2b(value.encode(), digest_size=10).hexdigest()
