"""Tools: the server's, and a user's own; and which agent has which."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import Query, Request, Response
from google.protobuf.field_mask_pb2 import FieldMask

from gateway.rest import shapes
from gateway.rest.agents import Known, fetch_agent
from gateway.rest.common import Back, Listing, NewestFirst, answer, request_id, struct
from gateway.rest.endpoints import Router
from gateway.rest.forms import Json
from gateway.rest.schemas import Body, Int32, Metadata
from gateway.rest.tool_results import RunArguments, result
from triptych.agent.v1 import agent_pb2 as pb
from triptych.errors import NotFound
from triptych.type.v1 import type_pb2

router = Router(prefix="/v1", tags=["tools"])


class ToolUpdate(Body):
    """`json_schema`: OpenAI's of a function. Requirements to install are not read: tools have what the server has."""

    description: str | None = None
    json_schema: dict[str, Any] | None = None
    source_code: str | None = None
    tags: list[str] | None = None
    return_char_limit: Int32 | None = None
    default_requires_approval: bool | None = None
    metadata_: Metadata | None = None


class ToolCreate(ToolUpdate):
    """With `source_code` a Python tool; without, one that the program runs that talks with the agent."""

    name: str | None = None


class Approval(Body):
    requires_approval: bool


@router.get("/tools")
async def list_tools(
    known: Known,
    listing: NewestFirst,
    name: str | None = None,
    names: Annotated[list[str] | None, Query()] = None,
    tool_types: Annotated[list[str] | None, Query()] = None,
    search: str | None = None,
    tool_ids: Annotated[list[str] | None, Query()] = None,
    exclude_tool_types: Annotated[list[str] | None, Query()] = None,
    return_only_letta_tools: bool = False,
) -> Response:
    wanted = set(names or []) | ({name} if name else set())
    tools = [
        tool
        for tool in (await known.tools()).values()
        if (not wanted or tool["name"] in wanted)
        and (not tool_types or tool["tool_type"] in tool_types)
        and (not tool_ids or tool["id"] in tool_ids)
        and tool["tool_type"] not in (exclude_tool_types or ())
        and (not return_only_letta_tools or tool["tool_type"].startswith("letta"))
        and (not search or search.lower() in tool["name"].lower())
    ]
    return answer(_part(tools, listing))


@router.post("/tools")
async def create_tool(body: ToolCreate, request: Request, back: Back) -> Response:
    create = pb.CreateToolRequest(tool=_tool("", body), request_id=request_id(request))
    return answer(shapes.tool((await back.agent_peer.unary(back.agents.CreateTool, create)).tool))


@router.put("/tools")
async def upsert_tool(body: ToolCreate, request: Request, back: Back) -> Response:
    upsert = pb.UpsertToolRequest(tool=_tool("", body), request_id=request_id(request))
    return answer(shapes.tool((await back.agent_peer.unary(back.agents.UpsertTool, upsert)).tool))


@router.get("/tools/count")
async def count_tools(back: Back) -> Response:
    return answer((await back.agent_peer.unary(back.agents.CountTools, pb.CountToolsRequest())).count)


@router.get("/tools/{tool_id}")
async def get_tool(tool_id: str, back: Back) -> Response:
    response = await back.agent_peer.unary(back.agents.GetTool, pb.GetToolRequest(tool_id=tool_id))
    return answer(shapes.tool(response.tool))


@router.patch("/tools/{tool_id}")
async def update_tool(tool_id: str, body: ToolUpdate, request: Request, back: Back) -> Response:
    paths = body.given("description", "json_schema", "source_code", "tags", "return_char_limit")
    if body.default_requires_approval is not None:
        paths.append("requires_approval")
    if body.metadata_ is not None:
        paths.append("metadata")
    update = pb.UpdateToolRequest(
        tool=_tool(tool_id, body), update_mask=FieldMask(paths=paths), request_id=request_id(request)
    )
    return answer(shapes.tool((await back.agent_peer.unary(back.agents.UpdateTool, update)).tool))


@router.delete("/tools/{tool_id}")
async def delete_tool(tool_id: str, back: Back) -> Response:
    await back.agent_peer.unary(back.agents.DeleteTool, pb.DeleteToolRequest(tool_id=tool_id))
    return answer({"message": f"Tool id={tool_id} successfully deleted"})


@router.get("/agents/{agent_id}/tools")
async def list_agent_tools(agent_id: str, back: Back, known: Known, listing: NewestFirst) -> Response:
    return answer(_part(await known.tools_of(await fetch_agent(back, agent_id)), listing))


@router.patch("/agents/{agent_id}/tools/approval/{tool_name}")
async def change_approval(agent_id: str, tool_name: str, back: Back, known: Known, body: Approval) -> Response:
    """Says whether a person has to approve the agent's calls of that tool."""
    agent = await fetch_agent(back, agent_id)
    rule = pb.ToolRule(type=pb.TOOL_RULE_TYPE_REQUIRES_APPROVAL, tool_name=tool_name)
    rules = [each for each in agent.tool_rules if each != rule]
    wanted = pb.Agent(id=agent_id, tool_rules=[*rules, rule] if body.requires_approval else rules)
    update = pb.UpdateAgentRequest(agent=wanted, update_mask=FieldMask(paths=["tool_rules"]))
    return answer(await known.agent((await back.agent_peer.unary(back.agents.UpdateAgent, update)).agent))


@router.patch("/agents/{agent_id}/tools/{verb}/{tool_id}")
async def change_tools(
    agent_id: str, verb: Literal["attach", "detach"], tool_id: str, back: Back, known: Known
) -> Response:
    if verb == "attach":
        attach = pb.AttachToolRequest(agent_id=agent_id, tool_id=tool_id)
        return answer(await known.agent((await back.agent_peer.unary(back.agents.AttachTool, attach)).agent))
    detach = pb.DetachToolRequest(agent_id=agent_id, tool_id=tool_id)
    return answer(await known.agent((await back.agent_peer.unary(back.agents.DetachTool, detach)).agent))


@router.post("/agents/{agent_id}/tools/{tool_name}/run")
async def run_tool(
    agent_id: str, tool_name: str, request: Request, back: Back, known: Known, body: RunArguments | None = None
) -> Response:
    """Calls a tool of the agent's, as the agent would, outside of any turn."""
    agent = await fetch_agent(back, agent_id)
    tool = (await known.tools()).get(tool_name) if tool_name in agent.tools else None
    if tool is None:
        raise NotFound("tool", tool_name)
    arguments = json.dumps(body.args if body else {})
    run = pb.RunToolRequest(tool_id=tool["id"], agent_id=agent_id, arguments=arguments, request_id=request_id(request))
    ran = await back.agent_peer.unary(back.agents.RunTool, run)
    return answer({**result(ran), "agent_state": await known.agent(await fetch_agent(back, agent_id))})


def _tool(tool_id: str, body: ToolUpdate) -> pb.Tool:
    return pb.Tool(
        id=tool_id,
        name=(body.name or "") if isinstance(body, ToolCreate) else "",
        description=body.description or "",
        json_schema="" if body.json_schema is None else json.dumps(body.json_schema),
        source_code=body.source_code or "",
        tags=body.tags or [],
        return_char_limit=body.return_char_limit or 0,
        requires_approval=bool(body.default_requires_approval),
        metadata=struct(body.metadata_),
    )


def _part(tools: list[Json], listing: Listing) -> list[Json]:
    """The server's tools come before the user's own, each in the order in which they were made."""
    if listing.order == type_pb2.SORT_ORDER_DESCENDING:
        tools = tools[::-1]
    return listing.part(tools, lambda tool: str(tool["id"]))
