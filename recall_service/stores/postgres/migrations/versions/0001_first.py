"""The first schema.

Every key holds the agent, by whose hash the large tables are split; what one request touches is then in one part, also
where the parts are on several machines (Citus distributes by the same column).
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_PARTS = 16
_OWNER = "account_id varchar(100) NOT NULL, user_id varchar(100) NOT NULL, agent_id varchar(100) NOT NULL"
_ID = "varchar(100) NOT NULL"
_BY_AGENT = "PARTITION BY HASH (agent_id)"

_TABLES = (
    "CREATE EXTENSION IF NOT EXISTS vector",
    "CREATE SEQUENCE messages_n",
    f"""CREATE TABLE messages (
        n bigint NOT NULL DEFAULT nextval('messages_n'), {_OWNER}, id {_ID}, conversation_id {_ID},
        sequence bigint NOT NULL, role int NOT NULL, name varchar(200) NOT NULL, created_at bigint NOT NULL,
        revision bigint NOT NULL, body bytea NOT NULL,
        PRIMARY KEY (account_id, user_id, id, agent_id),
        UNIQUE (account_id, user_id, conversation_id, sequence, agent_id)
    ) {_BY_AGENT}""",
    "CREATE INDEX messages_by_n ON messages (n)",
    "CREATE INDEX messages_by_agent_time ON messages (account_id, user_id, agent_id, created_at, n)",
    "CREATE INDEX messages_by_time ON messages (account_id, user_id, created_at, n)",
    f"""CREATE TABLE conversations (
        {_OWNER}, id {_ID}, last_sequence bigint NOT NULL, fence bigint NOT NULL,
        PRIMARY KEY (account_id, user_id, id, agent_id)
    )""",
    f"""CREATE TABLE appends (
        {_OWNER}, conversation_id {_ID}, request_id varchar(200) NOT NULL, request_hash varchar(64) NOT NULL,
        first_sequence bigint NOT NULL, number int NOT NULL,
        PRIMARY KEY (account_id, user_id, conversation_id, request_id, agent_id)
    )""",
    f"""CREATE TABLE revisions (
        {_OWNER}, message_id {_ID}, revision bigint NOT NULL, body bytea NOT NULL,
        PRIMARY KEY (account_id, user_id, message_id, revision, agent_id)
    )""",
    # A purge may be of no agent's: this one stays whole.
    f"""CREATE TABLE requests (
        account_id {_ID}, user_id {_ID}, request_id varchar(200) NOT NULL, request_hash varchar(64) NOT NULL,
        message_id {_ID}, result bigint NOT NULL,
        PRIMARY KEY (account_id, user_id, request_id)
    )""",
    "CREATE INDEX requests_by_message ON requests (account_id, user_id, message_id)",
    "CREATE TABLE settings (name varchar(50) PRIMARY KEY, value text NOT NULL)",
    # Of all messages that have words. One GIN search intersects the words asked for with the scope's own.
    f"""CREATE TABLE message_words (
        {_OWNER}, n bigint NOT NULL, conversation_id {_ID}, role int NOT NULL, created_at bigint NOT NULL,
        words tsvector NOT NULL,
        PRIMARY KEY (agent_id, n)
    ) {_BY_AGENT}""",
    "CREATE INDEX message_words_by_n ON message_words (n)",
    "CREATE INDEX message_words_by_words ON message_words USING gin (words) WITH (fastupdate = off)",
    # Of no fixed length: the embedder may change. Searched exactly, one agent's at a time.
    f"""CREATE TABLE message_vectors (
        {_OWNER}, n bigint NOT NULL, conversation_id {_ID}, role int NOT NULL, created_at bigint NOT NULL,
        vector halfvec NOT NULL,
        PRIMARY KEY (agent_id, n)
    ) {_BY_AGENT}""",
    "CREATE INDEX message_vectors_by_n ON message_vectors (n)",
    "CREATE INDEX message_vectors_by_owner ON message_vectors (account_id, user_id, agent_id)",
    # The embedder's outbox. A replica claims what it embeds, for a while.
    """CREATE TABLE pending (
        agent_id varchar(100) NOT NULL, n bigint NOT NULL,
        claimed_by varchar(40) NOT NULL DEFAULT '', claimed_until bigint NOT NULL DEFAULT 0,
        PRIMARY KEY (agent_id, n)
    )""",
    "CREATE INDEX pending_by_n ON pending (n)",
    # English word stems, and no stop words: which words count is decided by the query.
    "CREATE TEXT SEARCH DICTIONARY triptych_stem (TEMPLATE = snowball, LANGUAGE = english)",
    "CREATE TEXT SEARCH CONFIGURATION triptych (COPY = simple)",
    "ALTER TEXT SEARCH CONFIGURATION triptych ALTER MAPPING FOR asciiword, word WITH triptych_stem",
)


def upgrade() -> None:
    for statement in _TABLES:
        op.execute(statement)
    for table in ("messages", "message_words", "message_vectors"):
        for part in range(_PARTS):
            op.execute(
                f"CREATE TABLE {table}_{part:02} PARTITION OF {table} "
                f"FOR VALUES WITH (MODULUS {_PARTS}, REMAINDER {part})"
            )


def downgrade() -> None:
    op.execute("DROP TEXT SEARCH CONFIGURATION triptych")
    op.execute("DROP TEXT SEARCH DICTIONARY triptych_stem")
    for table in (
        "pending",
        "message_vectors",
        "message_words",
        "settings",
        "requests",
        "revisions",
        "appends",
        "conversations",
        "messages",
    ):
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP SEQUENCE messages_n")
