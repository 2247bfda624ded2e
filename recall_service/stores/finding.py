"""Finds messages by their words in FTS5.

A message's score is the sum of the weights of the query's words that it has, and a word weighs the more the fewer of
the scope's messages have it (Robertson and Sparck Jones 1976). FTS5's own `bm25` counts rarity over everybody's
messages, and takes time for all of them. How often a message has a word, and how long it is, was measured to add
nothing here (docs/retrieval.md).
"""

from __future__ import annotations

import json
import math

import numpy as np
from sqlalchemy import Connection, text

from recall_service.likeness import content_words
from recall_service.store import Filters, Found
from recall_service.stores.postings import MOST_ROWS, Numbers, Postings
from recall_service.stores.tables import owner
from recall_service.stores.words import among
from servicekit.principal import Tenant

_LEAST_WEIGHT = 1e-6
# Within a conversation or a time a word is not counted further than this: what is more common weighs the same.
_MOST_COUNTED = 8_000

# CROSS JOIN: the words come first, else SQLite may walk through all of the owner's messages and ask FTS5 about each.
_HAVING_WITHIN = text(
    """
    SELECT f.rowid FROM messages_fts AS f CROSS JOIN messages AS m ON m.n = f.rowid
    WHERE messages_fts MATCH :match AND m.account_id = :owner_account AND m.user_id = :owner_user
        AND (:conversation_id = '' OR m.conversation_id = :conversation_id) AND m.created_at BETWEEN :start AND :end
        AND m.role IN (SELECT value FROM json_each(:roles))
    ORDER BY f.rowid DESC LIMIT :most
    """
)
_COUNT = "SELECT count(*) FROM (SELECT 1 FROM messages_fts WHERE messages_fts MATCH ? LIMIT ?)"


def find(
    connection: Connection, postings: Postings, tenant: Tenant, query: str, filters: Filters, most: int
) -> list[Found]:
    """As `RecallStore.find_words`."""
    words, scope, told = content_words(query), among(tenant, filters), postings.told
    members = postings.members(connection, told, scope)
    if _is_narrow(filters):
        having = [_within(connection, tenant, f'scope : {scope.word} AND body : "{word}"', filters) for word in words]
    else:
        known = [postings.of(connection, told, scope, members, word) for word in words]
        having = [(posting.numbers, posting.count) for posting in known]
    numbers = np.concatenate([rows for rows, _ in having]) if having else np.empty(0, dtype=np.int64)
    if not len(numbers):
        return []
    weights = np.concatenate([np.full(len(rows), _weight(members.count, count)) for rows, count in having])
    unique, at = np.unique(numbers, return_inverse=True)
    scores = np.bincount(at, weights)
    best = np.lexsort((-unique, -scores))[:most]
    return list(map(Found, unique[best].tolist(), scores[best].tolist()))


def _within(connection: Connection, tenant: Tenant, match: str, filters: Filters) -> tuple[Numbers, int]:
    """The newest messages of a conversation or a time that match, and how many there are of them."""
    bounds = {"conversation_id": filters.scope.conversation_id, "start": filters.start, "end": filters.end}
    parameters = owner(tenant, match=match, most=MOST_ROWS, roles=json.dumps(filters.roles), **bounds)
    rows = np.array(connection.execute(_HAVING_WITHIN, parameters).scalars().all(), dtype=np.int64)
    count = len(rows)
    if count == MOST_ROWS:
        count = connection.exec_driver_sql(_COUNT, (match, _MOST_COUNTED)).scalar_one()
    return rows, count


def _is_narrow(filters: Filters) -> bool:
    """Whether more is filtered by than the scope's own word and the roles, which are known in memory."""
    anything = Filters()
    return bool(filters.scope.conversation_id) or (filters.start, filters.end) != (anything.start, anything.end)


def _weight(total: int, count: int) -> float:
    return max(math.log((max(total - count, 0) + 0.5) / (count + 0.5)), _LEAST_WEIGHT)
