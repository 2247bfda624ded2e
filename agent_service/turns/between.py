"""What is done to a conversation between its turns, on a user's request: compacting it, and emptying its window."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from agent_service.context.build import Builder, history_target
from agent_service.stores import agents, conversations, views
from agent_service.stores.conversations import Lease
from agent_service.stores.requests import answered, once
from agent_service.stores.views import View
from agent_service.tools import owned
from agent_service.turns.compacting import Compactor, Folded
from agent_service.turns.engine import TurnEngine
from agent_service.turns.parts import Parts
from servicekit.principal import Principal
from triptych.agent.v1 import agent_pb2 as pb
from triptych.agent.v1.agent_pb2 import Agent, Compaction


@dataclass(frozen=True)
class _Held:
    """A conversation that no turn runs in meanwhile."""

    agent: Agent
    lease: Lease

    @property
    def id(self) -> str:
        return self.lease.conversation_id


class BetweenTurns:
    def __init__(self, parts: Parts, engine: TurnEngine) -> None:
        self._parts, self._engine = parts, engine
        self._compactor = Compactor(parts)

    async def compact(
        self, caller: Principal, request: pb.CompactConversationRequest
    ) -> pb.CompactConversationResponse:
        """Folds the oldest part of the window into the summary; with too little in it to fold, changes nothing.

        Raises: NotFound; Aborted CONVERSATION_BUSY; what the summarising model's endpoint raises: then nothing changed.
        """
        tenant, response_type = caller.tenant, pb.CompactConversationResponse
        known = await self._parts.store.read(lambda c: answered(c, tenant, request.request_id, request, response_type))
        if known is not None:
            return known
        async with self._held(caller, request.agent_id, request.conversation_id) as held:
            folded, compaction = await self._folded(caller, held, request.mode)

            def work(connection: Connection) -> pb.CompactConversationResponse:
                conversations.check_lease(connection, tenant, held.lease)
                views.write(connection, tenant, held.id, folded.window.view)
                return response_type(conversation=conversations.get(connection, tenant, held.id), compaction=compaction)

            response = await self._parts.store.write(
                lambda c: once(c, tenant, request.request_id, request, response_type, lambda: work(c))
            )
            self._parts.windows.put(held.id, folded.window)
            return response

    async def reset(self, caller: Principal, request: pb.ResetConversationRequest) -> pb.ResetConversationResponse:
        """Empties window and summary: the next turn begins with nothing in view. Raises: NotFound, Aborted."""
        tenant = caller.tenant
        async with self._held(caller, request.agent_id, request.conversation_id) as held:
            newest, _ = await self._parts.tiers.latest_messages(caller, held.agent.id, held.id, page_token="", size=1)
            view = View(newest[0].sequence + 1 if newest else held.lease.view.start)

            def work(connection: Connection) -> pb.ResetConversationResponse:
                conversations.check_lease(connection, tenant, held.lease)
                views.write(connection, tenant, held.id, view)
                return pb.ResetConversationResponse(conversation=conversations.get(connection, tenant, held.id))

            response = await self._parts.store.write(
                lambda c: once(c, tenant, request.request_id, request, pb.ResetConversationResponse, lambda: work(c))
            )
            self._parts.windows.forget(held.id)
            return response

    def forget(self, conversation_id: str) -> None:
        """Has the next turn read the conversation's window again."""
        self._parts.windows.forget(conversation_id)

    async def _folded(
        self, caller: Principal, held: _Held, mode: pb.CompactionMode.ValueType
    ) -> tuple[Folded, Compaction]:
        parts, agent = self._parts, held.agent
        budget = parts.budget(caller.tenant, agent)
        described = await parts.store.read(lambda c: owned.of_names(c, caller.tenant, agent.tools))
        builder = Builder(parts.compiler, agent, owned.schemas(described))
        window = await parts.windows.get(caller, agent.id, held.id, held.lease.view, builder.room(budget))
        before = builder.build(budget, window)
        leaving = window.leaving(history_target(agent, mode, before.history.tokens), None)
        if leaving:
            folded = await self._compactor.fold(caller.tenant, agent, window, leaving, budget, insist=True)
            parts.meter.report(caller.tenant, tokens=folded.usage.prompt + folded.usage.completion)
        else:
            folded = Folded(replace(window), 0)
        after = builder.build(budget, folded.window)
        return folded, folded.event(agent.id, held.id, before.parts().total, after.parts().total)

    @asynccontextmanager
    async def _held(self, caller: Principal, agent_id: str, conversation_id: str) -> AsyncIterator[_Held]:
        """Raises: NotFound (agent, or conversation of this agent), Aborted CONVERSATION_BUSY; Elsewhere, Orphaned."""
        tenant, process_id = caller.tenant, self._parts.process_id
        agent = await self._parts.store.read(lambda c: agents.get(c, tenant, agent_id))
        wanted = conversation_id or agent.default_conversation_id
        async with self._engine.between_turns(tenant, wanted):

            def work(connection: Connection) -> _Held:
                lease = conversations.claim(connection, tenant, wanted, agent_id, process_id)
                return _Held(agents.get(connection, tenant, agent_id), lease)

            held = await self._parts.store.write(work)
            if held.lease.changed:
                self._parts.windows.forget(wanted)
            yield held
