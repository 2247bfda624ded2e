"""Words by tsvector and GIN, weighed by their rarity, which PostgreSQL does not do of its own."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, text

from recall_service.likeness import content_words
from recall_service.store import Filters, Found
from recall_service.stores.postgres import scope
from recall_service.stores.words import agent_word, indexed, user_word
from recall_service.times import microseconds
from servicekit.principal import Tenant
from servicekit.sql import Prepared
from triptych.recall.v1.recall_pb2 import Message

# A tsvector holds 1 MiB: so much of a giant message is found by its words.
_MOST_CHARACTERS = 300_000
_WORD = re.compile(r"\w+")

_REMOVE = text("DELETE FROM message_words WHERE n = ANY(:numbers)")
_ADD = Prepared(
    text(
        """
        INSERT INTO message_words (account_id, user_id, agent_id, n, conversation_id, role, created_at, words)
        SELECT :owner_account, :owner_user, agent_id, n, conversation_id, role, created_at,
            to_tsvector('triptych', body) || array_to_tsvector(ARRAY[CAST(:user_word AS text), agent_word])
        FROM unnest(
            CAST(:agents AS text[]), CAST(:agent_words AS text[]), CAST(:numbers AS bigint[]),
            CAST(:conversations AS text[]), CAST(:roles AS int[]), CAST(:times AS bigint[]), CAST(:bodies AS text[])
        ) AS added (agent_id, agent_word, n, conversation_id, role, created_at, body)
        """
    )
)
# The queries are made first, and once: PostgreSQL makes those that stand in a condition anew for each row that it looks
# at. The weights are those of `stores.finding`: a word's messages are those that pass the filters, `total` counts what
# the scope has had.
_FIND = """
    WITH terms AS MATERIALIZED (
        SELECT term, CAST(:scope AS tsquery) && term AS sought FROM (
            SELECT DISTINCT plainto_tsquery('triptych', word) AS term FROM unnest(CAST(:words AS text[])) AS word
        ) AS words
        WHERE numnode(term) > 0
    ), hits AS MATERIALIZED (
        SELECT term, n FROM terms CROSS JOIN LATERAL (
            SELECT n FROM message_words WHERE words @@ sought AND {where}
        ) AS found
    ), total AS (
        SELECT coalesce(sum(last_sequence), 0) AS messages FROM conversations
        WHERE account_id = :owner_account AND user_id = :owner_user AND (:agent_id = '' OR agent_id = :agent_id)
    ), weights AS (
        SELECT term, greatest(ln((greatest(messages - count(*), 0) + 0.5) / (count(*) + 0.5)), 1e-6) AS weight
        FROM hits CROSS JOIN total GROUP BY term, messages
    )
    SELECT n, sum(weight) AS score FROM hits JOIN weights USING (term)
    GROUP BY n ORDER BY score DESC, n DESC LIMIT :most
"""


def add(connection: Connection, tenant: Tenant, numbered: Mapping[int, Message]) -> None:
    messages = numbered.values()
    _ADD.run(
        connection,
        {
            "owner_account": tenant.account_id,
            "owner_user": tenant.user_id,
            "user_word": user_word(tenant),
            "agents": [message.agent_id for message in messages],
            "agent_words": [agent_word(tenant, message.agent_id) for message in messages],
            "numbers": list(numbered),
            "conversations": [message.conversation_id for message in messages],
            "roles": [message.role for message in messages],
            "times": [microseconds(message.create_time) for message in messages],
            "bodies": [_plain(indexed(message)) for message in messages],
        },
    )


def remove(connection: Connection, numbers: Sequence[int]) -> None:
    connection.execute(_REMOVE, {"numbers": list(numbers)})


def find(connection: Connection, tenant: Tenant, query: str, filters: Filters, most: int) -> list[Found]:
    """As `RecallStore.find_words`."""
    words = [plain for word in content_words(query) if (plain := _plain(word))]
    if not words:
        return []
    agent_id = filters.scope.agent_id
    parameters = scope.parameters(
        tenant,
        filters,
        words=words,
        scope=agent_word(tenant, agent_id) if agent_id else user_word(tenant),
        most=most,
    )
    # The text is made of our own words: what is the caller's goes by parameters.
    found = connection.execute(text(_FIND.format(where=scope.where(filters))), parameters)
    return [Found(row.n, float(row.score)) for row in found]


def _plain(value: str) -> str:
    """Words without marks and accents, between spaces: PostgreSQL's parser would see hosts, files and tags."""
    letters = unicodedata.normalize("NFKD", value[:_MOST_CHARACTERS])
    return " ".join(_WORD.findall("".join(each for each in letters if not unicodedata.combining(each))))
