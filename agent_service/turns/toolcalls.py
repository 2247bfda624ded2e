"""Runs single calls. Whatever goes wrong with one is told to the model; only a lost lease ends the turn."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from agent_service.stores import attached
from agent_service.tools import base
from agent_service.tools.base import BlockTool, CallContext, OutsideTool, TierTool, ToolError
from agent_service.turns import edits, outcomes
from agent_service.turns.edits import Author
from agent_service.turns.outcomes import Outcome
from agent_service.turns.running import Running
from triptych.errors import TriptychError
from triptych.type.v1 import type_pb2
from triptych.type.v1.type_pb2 import Fence, ToolCall

UNKNOWN = (
    "Error: the server stopped while this ran. Outcome unknown: it may or may not have taken effect. Find out before "
    "you call it again."
)


@dataclass(frozen=True)
class Caller:
    """Runs calls for one running turn. `now`: the same for the whole turn."""

    running: Running
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def edits_block(self, call: ToolCall) -> bool:
        """Whether the call is one for `edit`; the others are for `call`."""
        return isinstance(self.running.toolbox.get(call.name), BlockTool)

    def waits_its_turn(self, call: ToolCall) -> bool:
        """Whether the call has to run alone, behind those before it."""
        tool = self.running.toolbox.get(call.name)
        return isinstance(tool, BlockTool) or (isinstance(tool, TierTool) and tool.writes)

    def is_repeatable(self, call: ToolCall) -> bool:
        """Whether a second call under the same key has no second effect."""
        tool = self.running.toolbox.get(call.name)
        return tool is None or tool.repeatable

    def edit(self, connection: Connection, call: ToolCall, key: str) -> Outcome:
        """Edits a block within the transaction that also writes the journal."""
        tool = self.running.toolbox.get(call.name)
        assert isinstance(tool, BlockTool), "not a call that edits a block"
        author = Author(self.running.tenant, self.running.agent.id, key, call.id)
        try:
            # What a refused edit has begun is undone; the transaction goes on.
            with connection.begin_nested():
                current = attached.of_agent(connection, author.tenant, author.agent_id)
                applied = edits.apply(connection, author, current, tool.edit(current, base.parse(tool, call.arguments)))
        except (ToolError, TriptychError) as error:
            return outcomes.failure(error)
        return Outcome(outcomes.bounded(applied.text), edit=applied.edit)

    async def call(self, call: ToolCall, key: str) -> Outcome:
        """Calls a tool that edits no block. `key`: `turn/step/call`.

        Raises: FailedPrecondition FENCED.
        """
        tool = self.running.toolbox.get(call.name)
        try:
            assert isinstance(tool, TierTool | OutsideTool), "not a call to be run here"
            text = await invoke(tool, self._context(key), call.arguments)
        except TriptychError as error:
            if error.reason == type_pb2.ERROR_REASON_FENCED:
                raise
            return outcomes.failure(error)
        except ToolError as error:
            return outcomes.failure(error)
        return Outcome(outcomes.bounded(text, self.running.toolbox.return_char_limit(call.name)))

    def _context(self, key: str) -> CallContext:
        running = self.running
        return CallContext(
            caller=running.principal,
            agent=running.agent,
            conversation_id=running.lease.conversation_id,
            turn_id=running.turn.id,
            key=key,
            fence=Fence(scope=running.lease.conversation_id, token=running.lease.fence),
            tiers=running.parts.tiers,
            store=running.parts.store,
            now=self.now,
            guest=running.guest,
        )


async def invoke(tool: TierTool[Any] | OutsideTool, context: CallContext, raw: str) -> str:
    """What the tool returns. `raw`: its arguments as JSON. Raises: ToolError; what the tier raises that it calls."""
    if isinstance(tool, TierTool):
        return await tool.call(context, base.parse(tool, raw))
    arguments = base.parse_object(tool.name, raw)
    try:
        async with asyncio.timeout(tool.timeout_seconds):
            return await tool.call(context, arguments)
    except TimeoutError:
        raise ToolError(
            f"{tool.name} did not answer within {tool.timeout_seconds:g} seconds. It may or may not have taken effect."
        ) from None
