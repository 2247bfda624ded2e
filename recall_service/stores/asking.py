"""Which of the messages that are there ask: for those that were stored before that was noted."""

from __future__ import annotations

from sqlalchemy import Connection, text

from recall_service.questions import asks
from triptych.recall.v1.recall_pb2 import Message

_ROWS_AT_ONCE = 1_000
_AFTER = text("SELECT n, agent_id, body FROM messages WHERE n > :after ORDER BY n LIMIT :most")
# The agent, since PostgreSQL's messages are kept in parts by it.
_NOTE = text("UPDATE messages SET asks = :asks WHERE n = :n AND agent_id = :agent_id")


def note(connection: Connection) -> None:
    """Looks at every message. About 15 s for a million."""
    after = 0
    while rows := connection.execute(_AFTER, {"after": after, "most": _ROWS_AT_ONCE}).all():
        found = [(row.n, row.agent_id, asks(Message.FromString(row.body).text)) for row in rows]
        if asking := [{"n": n, "agent_id": agent_id, "asks": int(what)} for n, agent_id, what in found if what]:
            connection.execute(_NOTE, asking)
        after = rows[-1].n
