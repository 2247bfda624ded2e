"""What an agent sees of a conversation: from where on word for word, and the summary of what was before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import Connection, Row, update

from agent_service import clock
from agent_service.stores.rows import owned
from agent_service.stores.tables import conversations
from servicekit.principal import Tenant
from triptych.agent.v1.agent_pb2 import CompactionSettings
from triptych.errors import InvalidArgument

MAX_PROMPT = 4_000


@dataclass(frozen=True)
class View:
    """`start`: sequence of the first message in view. `summary`: stands for all messages before it.

    `notice_step`: the step in front of whose answer the agent was told that memory presses; '' if it was not, since the
    window was last compacted.
    """

    start: int = 0
    summary: str = ""
    notice_step: str = ""

    @property
    def hidden(self) -> int:
        """How many messages of the conversation are older than what is in view."""
        return max(0, self.start - 1)

    @classmethod
    def of(cls, row: Row[Any]) -> Self:
        """From a row of `conversations`."""
        return cls(row.window_start, row.summary, row.notice_step)


def write(connection: Connection, tenant: Tenant, conversation_id: str, view: View) -> None:
    """Sets the view. Check the lease in the same transaction."""
    connection.execute(
        update(conversations)
        .where(owned(conversations, tenant), conversations.c.id == conversation_id)
        .values(window_start=view.start, summary=view.summary, notice_step=view.notice_step, updated_at=clock.now())
    )


def check(settings: CompactionSettings) -> None:
    """Raises: InvalidArgument for settings that no window can be kept by."""
    for name in ("soft_limit", "hard_limit", "evicted_part"):
        if not 0 <= getattr(settings, name) <= 1:  # NaN is not either
            raise InvalidArgument.of(f"compaction.{name}", "must be 0 (for the default) to 1")
    if len(settings.prompt) > MAX_PROMPT:
        raise InvalidArgument.of("compaction.prompt", f"must be at most {MAX_PROMPT:,} characters")
