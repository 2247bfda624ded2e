"""Single calls of tools, outside of any turn: by a program, as the agent would call them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from agent_service.store import Store
from agent_service.stores import agents, attached, requests, revisions
from agent_service.tiers import Tiers
from agent_service.tools import base, owned, toolbox
from agent_service.tools.base import BlockTool, CallContext, ClientTool, OutsideTool, TierTool, ToolError
from agent_service.tools.outside import Outside
from agent_service.tools.toolbox import Given
from agent_service.turns import edits, outcomes
from agent_service.turns.edits import Author
from agent_service.turns.outcomes import Outcome
from agent_service.turns.toolcalls import invoke
from servicekit import ids
from servicekit.principal import Principal
from triptych.agent.v1.agent_pb2 import Agent, RunToolRequest, RunToolResponse, Tool
from triptych.errors import FailedPrecondition, InvalidArgument, TriptychError
from triptych.type.v1 import type_pb2


@dataclass(frozen=True)
class SingleCalls:
    """`run` makes one. A `request_id` that was answered is answered the same again."""

    store: Store
    tiers: Tiers
    outside: Outside

    async def run(self, caller: Principal, request: RunToolRequest) -> RunToolResponse:
        """Raises: NotFound; InvalidArgument, FailedPrecondition for a tool that can't be called like this."""
        tenant = caller.tenant

        def look(connection: Connection) -> tuple[RunToolResponse | None, Tool, Agent]:
            known = requests.answered(connection, tenant, request.request_id, request, RunToolResponse)
            agent = agents.get(connection, tenant, request.agent_id) if request.agent_id else Agent()
            return known, owned.get(connection, tenant, request.tool_id), agent

        known, tool, agent = await self.store.read(look)
        if known is not None:
            return known
        given = self._given(tool, agent)
        if isinstance(given.tool, BlockTool):
            block_tool = given.tool
            return await self._record(caller, request, lambda c: self._edited(c, caller, agent, block_tool, request))
        outcome = await self._called(caller, agent, given, request)
        return await self._record(caller, request, lambda _: outcome)

    def _given(self, stored: Tool, agent: Agent) -> Given:
        if agent.id and stored.name not in agent.tools:
            raise FailedPrecondition(f"the agent has no tool {stored.name}")
        given = toolbox.build([stored.name], self.outside.give([stored])).given.get(stored.name)
        if given is None:
            raise FailedPrecondition("Python tools are switched off on this server (TRIPTYCH_PYTHON_TOOLS)")
        if isinstance(given.tool, ClientTool):
            raise FailedPrecondition(f"{stored.name} is run by the program that talks with the agent, and not here")
        if not agent.id and not isinstance(given.tool, OutsideTool):
            raise InvalidArgument.of("agent_id", f"{stored.name} is called by an agent: say which")
        return given

    def _edited(
        self, connection: Connection, caller: Principal, agent: Agent, tool: BlockTool[Any], request: RunToolRequest
    ) -> Outcome:
        # Such an edit is the user's.
        author = Author(caller.tenant, agent.id, revisions.USER.author, call_id="")
        try:
            with connection.begin_nested():
                current = attached.of_agent(connection, caller.tenant, agent.id)
                arguments = base.parse(tool, request.arguments)
                return Outcome(edits.apply(connection, author, current, tool.edit(current, arguments)).text)
        except (ToolError, TriptychError) as error:
            return outcomes.failure(error)

    async def _called(self, caller: Principal, agent: Agent, given: Given, request: RunToolRequest) -> Outcome:
        assert isinstance(given.tool, TierTool | OutsideTool)
        context = CallContext(
            caller=caller,
            agent=agent,
            conversation_id=agent.default_conversation_id,
            turn_id="",
            key=f"run/{request.request_id or ids.new('call')}",
            fence=type_pb2.Fence(),
            tiers=self.tiers,
            store=self.store,
            now=datetime.now(UTC),
        )
        try:
            text = await invoke(given.tool, context, request.arguments)
        except (ToolError, TriptychError) as error:
            return outcomes.failure(error)
        return Outcome(outcomes.bounded(text, given.return_char_limit))

    async def _record(
        self, caller: Principal, request: RunToolRequest, done: Callable[[Connection], Outcome]
    ) -> RunToolResponse:
        tenant = caller.tenant

        def work(connection: Connection) -> RunToolResponse:
            outcome = done(connection)
            failed = type_pb2.TOOL_STATUS_ERROR if outcome.failed else type_pb2.TOOL_STATUS_SUCCESS
            return RunToolResponse(status=failed, text=outcome.text)

        return await self.store.write(
            lambda c: requests.once(c, tenant, request.request_id, request, RunToolResponse, lambda: work(c)),
            alone=tenant,
        )
