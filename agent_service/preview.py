"""Shows what the model would be sent now, part by part."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

from sqlalchemy import Connection

from agent_service.context import build, prompt
from agent_service.context.window import WindowCache
from agent_service.models.client import ModelClient
from agent_service.models.types import ToolSchema
from agent_service.store import Store
from agent_service.stores import agents, conversations
from agent_service.tiers import Tiers
from agent_service.tools import owned
from servicekit.principal import Principal
from triptych.agent.v1.agent_pb2 import Agent, PreviewContextRequest, PreviewContextResponse, Tool
from triptych.errors import NotFound


class Previewer:
    def __init__(self, store: Store, tiers: Tiers, windows: WindowCache, model: ModelClient) -> None:
        self._store, self._tiers, self._windows, self._model = store, tiers, windows, model

    async def preview(self, caller: Principal, request: PreviewContextRequest) -> PreviewContextResponse:
        """Raises: NotFound (agent, or conversation of this agent); Unavailable if a tier can't be reached."""

        def work(connection: Connection) -> tuple[Agent, list[Tool], str, int]:
            agent = agents.get(connection, caller.tenant, request.agent_id)
            conversation_id = request.conversation_id or agent.default_conversation_id
            if conversations.get(connection, caller.tenant, conversation_id).agent_id != agent.id:
                raise NotFound("conversation", conversation_id)
            start = conversations.window_start(connection, caller.tenant, conversation_id)
            return agent, owned.of_names(connection, caller.tenant, agent.tools), conversation_id, start

        agent, described, conversation_id, start = await self._store.read(work)
        tools = [ToolSchema(**json.loads(tool.json_schema)) for tool in described]
        window_tokens = agent.model.context_window or self._model.context_window
        budget = build.history_budget(agent, tools, window_tokens)
        window, recall_count, archival_count = await asyncio.gather(
            self._windows.get(caller, agent.id, conversation_id, start, budget),
            self._tiers.count_messages(caller, agent.id),
            self._tiers.count_passages(caller, agent.archive_ids),
        )
        now = datetime.now(UTC)
        built = build.build(agent, window.before(""), [], now, hidden=window.hidden)
        return PreviewContextResponse(
            context_window=window_tokens,
            tokens=build.measured(agent, tools, built),
            system_prompt=agent.system or prompt.DEFAULT_INSTRUCTIONS,
            core_memory=prompt.core_memory(agent.blocks),
            memory_facts=built.facts,
            messages=window.messages,
            tools=described,
            recall_count=recall_count,
            archival_count=archival_count,
        )
