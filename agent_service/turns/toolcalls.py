"""Runs the calls of one step. Whatever goes wrong with a call is told to the model; only a lost lease ends the turn."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import Connection

from agent_service.stores import attached
from agent_service.stores.turns import Claimed
from agent_service.tools import base, registry
from agent_service.tools.base import BlockTool, CallContext, TierTool, ToolError
from agent_service.turns import edits
from agent_service.turns.edits import Author
from agent_service.turns.parts import Parts
from servicekit.principal import Principal
from triptych.agent.v1.turn_pb2 import MemoryEdit
from triptych.errors import TriptychError
from triptych.type.v1 import type_pb2
from triptych.type.v1.type_pb2 import Fence, ToolCall

MAX_RESULT_CHARACTERS = 100_000


@dataclass(frozen=True)
class Outcome:
    """What the model is told, and the edit if a block was written."""

    text: str
    failed: bool = False
    edit: MemoryEdit | None = None


@dataclass(frozen=True)
class Caller:
    """Runs calls for one claimed turn."""

    parts: Parts
    claimed: Claimed
    principal: Principal
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def edits_block(self, call: ToolCall) -> bool:
        """Whether the call is one for `edit`; the others are for `call`."""
        return self._block_tool(call) is not None

    def _block_tool(self, call: ToolCall) -> BlockTool[base.Arguments] | None:
        tool = registry.TOOLS.get(call.name)
        return tool if isinstance(tool, BlockTool) and call.name in self.claimed.agent.tools else None

    def edit(self, connection: Connection, call: ToolCall, key: str) -> Outcome:
        """Edits a block within the transaction that also writes the journal."""
        tool = self._block_tool(call)
        assert tool is not None, "not a call that edits a block"
        author = Author(self.principal.tenant, self.claimed.agent.id, key, call.id)
        try:
            # What a refused edit has begun is undone; the transaction goes on.
            with connection.begin_nested():
                current = attached.of_agent(connection, author.tenant, author.agent_id)
                applied = edits.apply(connection, author, current, tool.edit(current, base.parse(tool, call.arguments)))
        except (ToolError, TriptychError) as error:
            return _failed(error)
        return Outcome(_bounded(applied.text), edit=applied.edit)

    async def call(self, call: ToolCall, key: str) -> Outcome:
        """Calls a tool of another tier. `key`: `turn/step/call`, under which a second call has no second effect."""
        claimed = self.claimed
        tool = registry.TOOLS.get(call.name)
        if not isinstance(tool, TierTool) or call.name not in claimed.agent.tools:
            known = ", ".join(claimed.agent.tools) or "none"
            return Outcome(f"There is no tool named {call.name!r}. There are: {known}.", failed=True)
        context = CallContext(
            caller=self.principal,
            agent=claimed.agent,
            conversation_id=claimed.lease.conversation_id,
            turn_id=claimed.record.turn.id,
            key=key,
            fence=Fence(scope=claimed.lease.conversation_id, token=claimed.lease.fence),
            tiers=self.parts.tiers,
            now=self.now,
        )
        try:
            text = await tool.call(context, base.parse(tool, call.arguments))
        except TriptychError as error:
            if error.reason == type_pb2.ERROR_REASON_FENCED:
                raise
            return _failed(error)
        except ToolError as error:
            return _failed(error)
        return Outcome(_bounded(text))


def _failed(error: ToolError | TriptychError) -> Outcome:
    return Outcome(f"Error: {error}", failed=True)


def _bounded(text: str) -> str:
    if len(text) <= MAX_RESULT_CHARACTERS:
        return text
    return text[:MAX_RESULT_CHARACTERS] + f"\n[cut at {MAX_RESULT_CHARACTERS:,} characters]"
