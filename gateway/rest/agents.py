"""Agents."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import Query, Request, Response
from google.protobuf.field_mask_pb2 import FieldMask

from gateway.rest import letta_messages, pending, shapes, tool_rules
from gateway.rest.agent_bodies import AgentCreate, AgentUpdate, SleepTime
from gateway.rest.catalogue import Catalogue
from gateway.rest.common import Back, NewestFirst, OldestFirst, answer, given_request_id, struct, tag_match
from gateway.rest.endpoints import Given, Router
from gateway.rest.schemas import BlockCreate, Body
from triptych.agent.v1 import agent_pb2 as pb

router = Router(prefix="/v1", tags=["agents"])


async def _catalogue(request: Request) -> Catalogue:
    catalogue: Catalogue = request.app.state.catalogue
    return await catalogue.load()


Known = Annotated[Catalogue, Given(_catalogue)]


@router.post("/agents")
async def create_agent(body: AgentCreate, request: Request, back: Back, known: Known) -> Response:
    agent = pb.Agent(
        name=body.name or "",
        agent_type=body.agent_type or "",
        system=body.system or "",
        description=body.description or "",
        embedding=body.embedding or "",
        timezone=body.timezone or "",
        tags=body.tags or [],
        tools=[*(body.tools or []), *await known.tool_names(body.tool_ids or [])],
        blocks=[new_block(block) for block in body.memory_blocks],
        model=_model(body),
        sleep_time=_sleep_time(body),
        metadata=struct(body.metadata),
        identity_ids=body.identity_ids,
        tool_rules=map(tool_rules.read, body.tool_rules or []),
    )
    create = pb.CreateAgentRequest(
        agent=agent,
        block_ids=body.block_ids,
        include_base_tools=body.include_base_tools is not False,
        request_id=given_request_id(request),
    )
    response = await back.agent_peer.unary(back.agents.CreateAgent, create)
    return answer(await known.agent(response.agent))


@router.get("/agents")
async def list_agents(
    back: Back,
    known: Known,
    listing: NewestFirst,
    name: str | None = None,
    tags: Annotated[list[str] | None, Query()] = None,
    match_all_tags: bool = False,
    query_text: str | None = None,
    identity_id: str | None = None,
    identifier_keys: Annotated[list[str] | None, Query()] = None,
    include: Annotated[list[str] | None, Query()] = None,
    include_relationships: Annotated[list[str] | None, Query()] = None,
) -> Response:
    """An agent's `tools` are listed if `include` has `agent.tools`: mostly all agents have the same."""
    request = pb.ListAgentsRequest(
        **listing.paging,
        name=name or "",
        tags=tags or [],
        tag_match=tag_match("all" if match_all_tags else "any"),
        name_contains=query_text or "",
        identity_id=identity_id or "",
        identifier_keys=identifier_keys,
    )
    response = await back.agent_peer.unary(back.agents.ListAgents, request)
    with_tools = "agent.tools" in (include or ()) or "tools" in (include_relationships or ())
    return answer(await (known.agents if with_tools else known.listed_agents)(response.agents))


@router.get("/agents/count")
async def count_agents(back: Back) -> Response:
    response = await back.agent_peer.unary(back.agents.CountAgents, pb.CountAgentsRequest())
    return answer(response.count)


@router.get("/agents/{agent_id}")
async def get_agent(
    agent_id: str, back: Back, known: Known, include: Annotated[list[str] | None, Query()] = None
) -> Response:
    """What it waits for is looked up if `include` has `agent.pending_approval`."""
    agent = await fetch_agent(back, agent_id)
    shown = await known.agent(agent)
    if "agent.pending_approval" in (include or ()):
        shown = {**shown, "pending_approval": await pending.approval(back, agent)}
    return answer(shown)


_OF_MODEL = (
    "model",
    "llm_config",
    "context_window_limit",
    "max_tokens",
    "parallel_tool_calls",
    "response_format",
    "fallback_models",
)


@router.patch("/agents/{agent_id}")
async def update_agent(agent_id: str, body: AgentUpdate, back: Back, known: Known) -> Response:
    paths = body.given("name", "system", "description", "embedding", "tags", "metadata", "timezone")
    wanted = pb.Agent(id=agent_id, **fields(body, paths))
    if body.given(*_OF_MODEL):
        current = await fetch_agent(back, agent_id)
        # These are replaced as a whole, not merged.
        if body.given("response_format"):
            current.model.ClearField("response_format")
        if body.given("fallback_models"):
            current.model.ClearField("fallbacks")
        current.model.MergeFrom(_model(body))
        wanted.model.CopyFrom(current.model)
        paths.append("model")
    if body.given("sleep_time", "enable_sleeptime"):
        wanted.sleep_time.CopyFrom(
            _sleep_time(body) if body.sleep_time else (await fetch_agent(back, agent_id)).sleep_time
        )
        if body.enable_sleeptime is not None:
            wanted.sleep_time.enabled = body.enable_sleeptime
        paths.append("sleep_time")
    if body.identity_ids is not None:
        wanted.identity_ids.extend(body.identity_ids)
        paths.append("identity_ids")
    if body.tool_ids is not None:
        wanted.tools.extend(await known.tool_names(body.tool_ids))
        paths.append("tools")
    if body.tool_rules is not None:
        wanted.tool_rules.extend(map(tool_rules.read, body.tool_rules))
        paths.append("tool_rules")
    request = pb.UpdateAgentRequest(agent=wanted, update_mask=FieldMask(paths=paths))
    response = await back.agent_peer.unary(back.agents.UpdateAgent, request)
    return answer(await known.agent(response.agent))


@router.delete("/agents/{agent_id}")
async def delete_agent(agent_id: str, back: Back) -> Response:
    await back.agent_peer.unary(back.agents.DeleteAgent, pb.DeleteAgentRequest(agent_id=agent_id))
    return answer({"message": f"Agent id={agent_id} successfully deleted"})


@router.get("/agents/{agent_id}/context")
async def get_context(agent_id: str, back: Back, conversation_id: str | None = None) -> Response:
    request = pb.PreviewContextRequest(agent_id=agent_id, conversation_id=conversation_id or "")
    preview = await back.agent_peer.unary(back.agents.PreviewContext, request)
    return answer(_context(preview))


@router.post("/agents/{agent_id}/recompile")
async def recompile(agent_id: str, back: Back) -> Response:
    """The prompt with the memory as it is: it is compiled for each step anyway."""
    return answer(await compiled_prompt(back, pb.PreviewContextRequest(agent_id=agent_id)))


@router.get("/tags")
async def list_tags(
    back: Back, listing: OldestFirst, name: str | None = None, query_text: str | None = None
) -> Response:
    """By the alphabet; `before` and `after` are tags. `name`: part of the tag."""
    tags: list[str] = []
    request = pb.ListAgentTagsRequest(page_size=1000, order=listing.order, contains=name or query_text or "")
    while True:
        response = await back.agent_peer.unary(back.agents.ListAgentTags, request)
        tags += response.tags
        request.page_token = response.next_page_token
        if not request.page_token:
            return answer(listing.part(tags, str))


async def fetch_agent(back: Back, agent_id: str) -> pb.Agent:
    """Raises: NotFound."""
    response = await back.agent_peer.unary(back.agents.GetAgent, pb.GetAgentRequest(agent_id=agent_id))
    return response.agent


async def compiled_prompt(back: Back, request: pb.PreviewContextRequest) -> str:
    """Instructions and memory, as they would be sent now. Raises: NotFound."""
    preview = await back.agent_peer.unary(back.agents.PreviewContext, request)
    return "\n\n".join(part for part in (preview.system_prompt, preview.core_memory) if part)


def fields(body: Body, paths: list[str]) -> dict[str, Any]:
    """The body's fields of these names, as a message's arguments."""
    values = {path: getattr(body, path) for path in paths}
    return values | ({"metadata": struct(values["metadata"])} if "metadata" in values else {})


def new_block(body: BlockCreate) -> pb.Block:
    return pb.Block(
        label=body.label,
        value=body.value,
        description=body.description or "",
        limit=body.limit or 0,
        read_only=body.read_only,
        metadata=struct(body.metadata),
        tags=body.tags or [],
    )


def _model(body: AgentCreate | AgentUpdate) -> pb.ModelSettings:
    config = body.llm_config
    settings = pb.ModelSettings(
        handle=body.model or (config and (config.handle or config.model)) or "",
        context_window=body.context_window_limit or (config and config.context_window) or 0,
        max_output_tokens=body.max_tokens or (config and config.max_tokens) or 0,
        fallbacks=body.fallback_models,
    )
    if config and config.temperature is not None:
        settings.temperature = config.temperature
    if body.parallel_tool_calls is not None:
        settings.parallel_tool_calls = body.parallel_tool_calls
    if body.response_format is not None:
        settings.response_format = json.dumps(body.response_format, ensure_ascii=False)
    return settings


def _sleep_time(body: AgentCreate | AgentUpdate) -> pb.SleepTimeSettings:
    """`enable_sleeptime` is letta-client's word: on or off, with everything else as usual."""
    wanted = body.sleep_time or SleepTime(enabled=bool(body.enable_sleeptime))
    return pb.SleepTimeSettings(
        enabled=wanted.enabled,
        every_turns=wanted.every_turns,
        idle_seconds=wanted.idle_seconds,
        model=pb.ModelSettings(handle=wanted.model) if wanted.model else None,
    )


def _context(preview: pb.PreviewContextResponse) -> dict[str, Any]:
    tokens = preview.tokens
    return {
        "context_window_size_max": preview.context_window,
        "context_window_size_current": tokens.total,
        "num_messages": len(preview.messages),
        "num_archival_memory": preview.archival_count,
        "num_recall_memory": preview.recall_count,
        "num_tokens_system": tokens.system_prompt,
        "num_tokens_core_memory": tokens.core_memory,
        "num_tokens_external_memory_summary": tokens.memory_facts,
        "num_tokens_summary_memory": tokens.summary,
        "num_tokens_messages": tokens.messages,
        "num_tokens_functions_definitions": tokens.tools,
        "system_prompt": preview.system_prompt,
        "core_memory": preview.core_memory,
        "external_memory_summary": preview.memory_facts,
        "summary_memory": preview.summary or None,
        "messages": letta_messages.expanded(preview.messages),
        "functions_definitions": [
            {"type": "function", "function": shapes.tool(tool)["json_schema"]} for tool in preview.tools
        ],
    }
