"""Tools as clients see them: the built-in ones, then the user's own."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import Connection

from agent_service.models.types import ToolSchema
from agent_service.stores import tools
from agent_service.tools import definitions, registry
from servicekit.paging import Page
from servicekit.principal import Tenant
from triptych.agent.v1 import agent_pb2 as pb
from triptych.errors import FailedPrecondition, InvalidArgument

# Where the built-in ones stand in the list: before all that was ever made.
_FIRST = 0
_START = (-1, "")


def get(connection: Connection, tenant: Tenant, tool_id: str) -> pb.Tool:
    """Raises: NotFound."""
    name = registry.NAMES_BY_ID.get(tool_id)
    return registry.described(name) if name else shown(tools.get(connection, tenant, tool_id))


def of_names(connection: Connection, tenant: Tenant, names: Sequence[str]) -> list[pb.Tool]:
    """In the order given; a name that no tool has is left out."""
    own = {tool.name: shown(tool) for tool in tools.named(connection, tenant, registry.others(names))}
    return [registry.described(n) if n in registry.TOOLS else own[n] for n in names if n in registry.TOOLS or n in own]


def schemas(described: Sequence[pb.Tool]) -> list[ToolSchema]:
    """The tools as the model is shown them."""
    return [ToolSchema(**json.loads(tool.json_schema)) for tool in described]


def shown(tool: pb.Tool) -> pb.Tool:
    """A stored tool with its whole schema."""
    made = pb.Tool()
    made.CopyFrom(tool)
    made.json_schema = json.dumps(definitions.function(tool))
    return made


def list_page(
    connection: Connection, tenant: Tenant, request: pb.ListToolsRequest, page: Page
) -> tuple[list[pb.Tool], str]:
    """The built-in tools in their order, then the user's in the order of their making."""
    if request.name:
        return [tool for tool in of_names(connection, tenant, [request.name]) if _wanted(tool, request)], ""
    at = (int(page.cursor[0]), str(page.cursor[1])) if page.cursor is not None else _START
    found = [
        ((_FIRST, f"{index:04}"), registry.described(name))
        for index, name in enumerate(registry.TOOLS)
        if (_FIRST, f"{index:04}") > at
    ]
    found = [(key, tool) for key, tool in found if _wanted(tool, request)][: page.size + 1]
    own = tools.list_behind(
        connection,
        tenant,
        max(at, (_FIRST, "~")),
        page.size + 1 - len(found),
        tool_type=request.tool_type,
        server_id=request.mcp_server_id,
    )
    found += [((tool.create_time.ToMicroseconds(), tool.id), shown(tool)) for tool in own]
    more, found = len(found) > page.size, found[: page.size]
    return [tool for _, tool in found], page.token(found[-1][0]) if more else ""


def _wanted(tool: pb.Tool, request: pb.ListToolsRequest) -> bool:
    of_type = not request.tool_type or tool.tool_type == request.tool_type
    return of_type and (not request.mcp_server_id or tool.mcp_server_id == request.mcp_server_id)


def change(connection: Connection, tenant: Tenant, wanted: pb.Tool, paths: Sequence[str]) -> pb.Tool:
    """The tool as an update of these fields makes it; not yet checked, not yet stored.

    Raises: NotFound, FailedPrecondition for a built-in tool, InvalidArgument for a field that can't be updated.
    """
    if wanted.id in registry.NAMES_BY_ID:
        raise FailedPrecondition("a built-in tool can't be changed or deleted")
    tool = tools.get(connection, tenant, wanted.id)
    for path in paths:
        if path not in tools.UPDATABLE:
            raise InvalidArgument.of(
                "update_mask", f"{path} can't be updated; it takes {', '.join(sorted(tools.UPDATABLE))}"
            )
        one = pb.Tool()
        one.CopyFrom(wanted)
        for field in pb.Tool.DESCRIPTOR.fields:
            if field.name != path:
                one.ClearField(field.name)  # type: ignore[arg-type]
        tool.ClearField(path)  # type: ignore[arg-type]
        tool.MergeFrom(one)
    return tool
