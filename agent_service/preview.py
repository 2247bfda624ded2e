"""Shows what the model would be sent now, part by part."""

from __future__ import annotations

import asyncio

from sqlalchemy import Connection

from agent_service import clock
from agent_service.context import prompt
from agent_service.context.build import Builder
from agent_service.context.render import Renderer
from agent_service.stores import agents, conversations
from agent_service.stores.views import View
from agent_service.tools import owned
from agent_service.tools.desk import Desk
from agent_service.turns.parts import Parts
from servicekit.principal import Principal
from triptych import archives
from triptych.agent.v1.agent_pb2 import Agent, PreviewContextRequest, PreviewContextResponse, Tool
from triptych.errors import NotFound
from triptych.recall.v1.recall_pb2 import Message


class Previewer:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def preview(self, caller: Principal, request: PreviewContextRequest) -> PreviewContextResponse:
        """Raises: NotFound (agent, or conversation of this agent); Unavailable if a tier can't be reached."""
        parts = self._parts

        def work(connection: Connection) -> tuple[Agent, list[Tool], str, View]:
            agent = agents.get(connection, caller.tenant, request.agent_id)
            conversation_id = request.conversation_id or agent.default_conversation_id
            if conversations.get(connection, caller.tenant, conversation_id).agent_id != agent.id:
                raise NotFound("conversation", conversation_id)
            described = owned.of_names(connection, caller.tenant, agent.tools)
            return agent, described, conversation_id, conversations.view(connection, caller.tenant, conversation_id)

        agent, described, conversation_id, view = await parts.store.read(work)
        await Desk(parts.store, parts.tiers).tidy(caller, agent)
        budget = parts.budget(caller.tenant, agent)
        builder = Builder(parts.compiler, agent, owned.schemas(described))
        window, recall_count, archival_count = await asyncio.gather(
            parts.windows.look(caller, agent.id, conversation_id, view, builder.room(budget)),
            parts.tiers.count_messages(caller, agent.id),
            parts.tiers.count_passages(caller, archives.searched(agent)),
        )
        built = builder.build(budget, window)
        facts = Renderer(agent.timezone).turn([Message(create_time=clock.timestamp(clock.now()))])
        return PreviewContextResponse(
            context_window=budget.window,
            tokens=built.parts(),
            system_prompt=prompt.instructions(agent),
            core_memory=prompt.core_memory(agent),
            memory_facts=facts[0]["content"],
            summary=view.summary,
            messages=window.messages,
            tools=described,
            recall_count=recall_count,
            archival_count=archival_count,
        )
