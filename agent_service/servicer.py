"""Serves agents, blocks and conversations: translates between the contract and the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import Connection

from agent_service.archive_servicer import ArchiveServicer
from agent_service.cleanup import Cleaner
from agent_service.conversation_servicer import ConversationServicer
from agent_service.file_servicer import FileServicer
from agent_service.history_servicer import HistoryServicer
from agent_service.mcp_servicer import McpServicer
from agent_service.models.router import Listed, ModelRouter
from agent_service.preview import Previewer
from agent_service.replicas.forwarding import Forwarder
from agent_service.sealing import Sealer
from agent_service.servicing import Response, window_of
from agent_service.store import Store
from agent_service.stores import agent_lists, agents, attaching, blocks, tools
from agent_service.tiers import Tiers
from agent_service.tool_servicer import ToolServicer
from agent_service.tools import registry
from agent_service.tools.outside import Outside
from agent_service.turns.between import BetweenTurns
from agent_service.turns.engine import TurnEngine
from agent_service.turns.forking import Forker
from agent_service.turns.single import SingleCalls
from servicekit import metering, paging, principal
from servicekit.principal import Tenant
from servicekit.rpc import Context
from triptych.agent.v1 import agent_pb2 as pb
from triptych.agent.v1.agent_pb2_grpc import AgentServiceServicer
from triptych.errors import InvalidArgument, TriptychError


class AgentServicer(
    HistoryServicer,
    ConversationServicer,
    ToolServicer,
    McpServicer,
    FileServicer,
    ArchiveServicer,
    AgentServiceServicer,
):
    def __init__(
        self,
        store: Store,
        engine: TurnEngine,
        model: ModelRouter,
        previewer: Previewer,
        between: BetweenTurns,
        forker: Forker,
        cleaner: Cleaner,
        outside: Outside,
        sealer: Sealer,
        forwarder: Forwarder,
        tiers: Tiers,
    ) -> None:
        self._store, self._engine, self._model = store, engine, model
        self._previewer, self._between, self._forker = previewer, between, forker
        self._cleaner, self._outside, self._sealer = cleaner, outside, sealer
        self._forwarder, self._tiers = forwarder, tiers
        self._single = SingleCalls(store, tiers, outside)

    async def CreateAgent(self, request: pb.CreateAgentRequest, context: Context) -> pb.CreateAgentResponse:
        wanted = request.agent
        wanted.agent_type = wanted.agent_type or registry.DEFAULT_TYPE
        base = registry.base_tools(wanted.agent_type) if request.include_base_tools else ()
        wanted.tools[:] = list(dict.fromkeys([*wanted.tools, *base]))
        _check_timezone(wanted.timezone)
        caller, given = principal.current(), wanted.archive_ids
        own_archive = bool(given) and await self._tiers.only_reads(caller, given[0])

        def work(connection: Connection, tenant: Tenant) -> pb.CreateAgentResponse:
            tools.require(connection, tenant, registry.others(wanted.tools))
            made = agents.create(connection, tenant, wanted, request.block_ids, own_archive=own_archive)
            return pb.CreateAgentResponse(agent=made)

        made = await self._once(request, pb.CreateAgentResponse, work)
        metering.kept(request.ByteSize())
        return made

    async def GetAgent(self, request: pb.GetAgentRequest, context: Context) -> pb.GetAgentResponse:
        tenant = principal.tenant()
        agent = await self._store.read(lambda c: agents.get(c, tenant, request.agent_id), brief=True)
        await self._name_default_model([agent])
        return pb.GetAgentResponse(agent=agent)

    async def ListAgents(self, request: pb.ListAgentsRequest, context: Context) -> pb.ListAgentsResponse:
        tenant, window = principal.tenant(), window_of(request, newest_first=True)
        page = await self._store.read(lambda c: agent_lists.list_page(c, tenant, request, window))
        await self._name_default_model(page.agents)
        return page

    async def CountAgents(self, request: pb.CountAgentsRequest, context: Context) -> pb.CountAgentsResponse:
        tenant = principal.tenant()
        return pb.CountAgentsResponse(count=await self._store.read(lambda c: agent_lists.count(c, tenant)))

    async def ListAgentTags(self, request: pb.ListAgentTagsRequest, context: Context) -> pb.ListAgentTagsResponse:
        tenant = principal.tenant()
        page = paging.read(
            size=request.page_size,
            token=request.page_token,
            query=("ListAgentTags", *tenant, request.contains),
            order=request.order,
        )
        tags, token = await self._store.read(lambda c: agent_lists.list_tags(c, tenant, request.contains, page))
        return pb.ListAgentTagsResponse(tags=tags, next_page_token=token)

    async def UpdateAgent(self, request: pb.UpdateAgentRequest, context: Context) -> pb.UpdateAgentResponse:
        _check_timezone(request.agent.timezone)

        def work(connection: Connection, tenant: Tenant) -> pb.UpdateAgentResponse:
            tools.require(connection, tenant, registry.others(request.agent.tools))
            changed = agents.change(connection, tenant, request.agent, request.update_mask.paths)
            return pb.UpdateAgentResponse(agent=changed)

        return await self._once(request, pb.UpdateAgentResponse, work)

    async def DeleteAgent(self, request: pb.DeleteAgentRequest, context: Context) -> pb.DeleteAgentResponse:
        tenant = principal.tenant()
        await self._engine.stop(tenant, agent_id=request.agent_id)

        def work(connection: Connection, tenant: Tenant) -> pb.DeleteAgentResponse:
            agents.remove(connection, tenant, request.agent_id)
            return pb.DeleteAgentResponse()

        response = await self._once(request, pb.DeleteAgentResponse, work)
        await self._cleaner.run_soon()
        return response

    async def PreviewContext(self, request: pb.PreviewContextRequest, context: Context) -> pb.PreviewContextResponse:
        return await self._previewer.preview(principal.current(), request)

    async def CreateBlock(self, request: pb.CreateBlockRequest, context: Context) -> pb.CreateBlockResponse:
        def work(connection: Connection, tenant: Tenant) -> pb.CreateBlockResponse:
            return pb.CreateBlockResponse(block=blocks.create(connection, tenant, request.block))

        made = await self._once(request, pb.CreateBlockResponse, work)
        metering.kept(request.ByteSize())
        return made

    async def GetBlock(self, request: pb.GetBlockRequest, context: Context) -> pb.GetBlockResponse:
        tenant = principal.tenant()
        return pb.GetBlockResponse(block=await self._store.read(lambda c: blocks.get(c, tenant, request.block_id)))

    async def ListBlocks(self, request: pb.ListBlocksRequest, context: Context) -> pb.ListBlocksResponse:
        tenant, window = principal.tenant(), window_of(request)
        found, token = await self._store.read(lambda c: blocks.list_page(c, tenant, request, window))
        return pb.ListBlocksResponse(blocks=found, next_page_token=token)

    async def CountBlocks(self, request: pb.CountBlocksRequest, context: Context) -> pb.CountBlocksResponse:
        tenant = principal.tenant()
        return pb.CountBlocksResponse(count=await self._store.read(lambda c: blocks.count(c, tenant)))

    async def UpdateBlock(self, request: pb.UpdateBlockRequest, context: Context) -> pb.UpdateBlockResponse:
        def work(connection: Connection, tenant: Tenant) -> pb.UpdateBlockResponse:
            changed = blocks.change(connection, tenant, request.block, request.update_mask.paths)
            return pb.UpdateBlockResponse(block=changed)

        return await self._once(request, pb.UpdateBlockResponse, work)

    async def DeleteBlock(self, request: pb.DeleteBlockRequest, context: Context) -> pb.DeleteBlockResponse:
        def work(connection: Connection, tenant: Tenant) -> pb.DeleteBlockResponse:
            blocks.remove(connection, tenant, request.block_id)
            return pb.DeleteBlockResponse()

        return await self._once(request, pb.DeleteBlockResponse, work)

    async def AttachBlock(self, request: pb.AttachBlockRequest, context: Context) -> pb.AttachBlockResponse:
        def work(connection: Connection, tenant: Tenant) -> pb.AttachBlockResponse:
            agents.get(connection, tenant, request.agent_id)
            attaching.attach(connection, tenant, request.agent_id, request.block_id)
            return pb.AttachBlockResponse(agent=agents.get(connection, tenant, request.agent_id))

        return await self._once(request, pb.AttachBlockResponse, work)

    async def DetachBlock(self, request: pb.DetachBlockRequest, context: Context) -> pb.DetachBlockResponse:
        def work(connection: Connection, tenant: Tenant) -> pb.DetachBlockResponse:
            agents.get(connection, tenant, request.agent_id)
            attaching.detach(connection, tenant, request.agent_id, request.block_id)
            return pb.DetachBlockResponse(agent=agents.get(connection, tenant, request.agent_id))

        return await self._once(request, pb.DetachBlockResponse, work)

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        whose = None if request.without_providers else principal.tenant()
        default = ""
        try:
            default = await self._model.default_handle(whose)
            listed = await self._model.list_models()
        except TriptychError:
            # An endpoint that is down has no list; the one model that was configured can still be named.
            listed = [Listed("", default)] if default else []
        if whose is not None:
            listed += await self._model.list_provided(whose)
        models = [
            pb.Model(
                handle=each.handle,
                name=each.model,
                context_window=self._model.context_window(each.handle),
                provider_name=each.provider,
            )
            for each in listed
        ]
        return pb.ListModelsResponse(models=models, default_handle=default)

    async def _once(
        self, request: Any, response_type: type[Response], work: Callable[[Connection, Tenant], Response]
    ) -> Response:
        response = await super()._once(request, response_type, work)
        if "agent" in response.DESCRIPTOR.fields_by_name:
            await self._name_default_model([response.agent])  # type: ignore[attr-defined]
        return response

    async def _name_default_model(self, shown: Sequence[pb.Agent]) -> None:
        # Up to the first that names none: looking at the model of each costs a page of agents a tenth.
        if all(agent.model.handle for agent in shown):
            return
        try:
            handle = await self._model.provided_default(principal.tenant())
        except TriptychError:  # a provider whose key can't be opened: that is for a turn to say
            return
        if handle:
            for agent in shown:
                if not agent.model.handle:
                    agent.default_model = handle


def _check_timezone(name: str) -> None:
    """Raises: InvalidArgument for what is no IANA name."""
    if not name:
        return
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidArgument.of("timezone", f"{name[:100]!r} is not an IANA name such as Europe/Oslo") from None
