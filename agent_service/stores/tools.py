"""A user's own tools: what the program runs, what MCP servers offer, and stored Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, tuple_, update

from agent_service import clock
from agent_service.stores import agents
from agent_service.stores.rows import owned, owner
from agent_service.stores.tables import agents as agents_table
from agent_service.stores.tables import tools
from servicekit import ids
from servicekit.principal import Tenant
from triptych.agent.v1.agent_pb2 import Agent, Tool, ToolType
from triptych.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound

MAX_TOOLS = 5_000
UPDATABLE = frozenset(
    {"description", "json_schema", "tags", "source_code", "return_char_limit", "requires_approval", "metadata"}
)


def create(connection: Connection, tenant: Tenant, wanted: Tool) -> Tool:
    """`wanted` has been checked. Raises: AlreadyExists for its name; FailedPrecondition at 5,000 tools."""
    if named(connection, tenant, [wanted.name]):
        raise AlreadyExists(f"there is a tool {wanted.name} already")
    if count(connection, tenant) >= MAX_TOOLS:
        raise FailedPrecondition(f"a user has at most {MAX_TOOLS:,} tools")
    tool = Tool()
    tool.CopyFrom(wanted)
    tool.id = ids.new("tool")
    at = clock.now()
    connection.execute(
        insert(tools).values(**owner(tenant), id=tool.id, created_at=at, updated_at=at, **_columns(tool))
    )
    return get(connection, tenant, tool.id)


def get(connection: Connection, tenant: Tenant, tool_id: str) -> Tool:
    """Raises: NotFound."""
    row = connection.execute(select(tools).where(owned(tools, tenant), tools.c.id == tool_id)).one_or_none()
    if row is None:
        raise NotFound("tool", tool_id)
    return _to_tool(row)


def named(connection: Connection, tenant: Tenant, names: Sequence[str]) -> list[Tool]:
    """Those of these names that there are."""
    if not names:
        return []
    query = select(tools).where(owned(tools, tenant), tools.c.name.in_(names))
    return [_to_tool(row) for row in connection.execute(query)]


def require(connection: Connection, tenant: Tenant, names: Sequence[str]) -> None:
    """Raises: InvalidArgument for a name that no tool of the user has."""
    known = {tool.name for tool in named(connection, tenant, names)}
    for name in names:
        if name not in known:
            raise InvalidArgument.of("tools", f"there is no tool {name[:100]!r}")


def list_behind(
    connection: Connection,
    tenant: Tenant,
    key: tuple[int, str],
    size: int,
    *,
    tool_type: ToolType.ValueType,
    server_id: str,
) -> list[Tool]:
    """At most `size`, in order of (microseconds of making, id), those behind `key`."""
    query = select(tools).where(owned(tools, tenant), tuple_(tools.c.created_at, tools.c.id) > key)
    if tool_type:
        query = query.where(tools.c.tool_type == tool_type)
    if server_id:
        query = query.where(tools.c.mcp_server_id == server_id)
    rows = connection.execute(query.order_by(tools.c.created_at, tools.c.id).limit(size))
    return [_to_tool(row) for row in rows]


def count(connection: Connection, tenant: Tenant) -> int:
    return connection.execute(select(func.count()).select_from(tools).where(owned(tools, tenant))).scalar_one()


def store(connection: Connection, tenant: Tenant, tool: Tool) -> Tool:
    """Writes a tool that is there, and has been checked. Raises: NotFound."""
    changed = connection.execute(
        update(tools)
        .where(owned(tools, tenant), tools.c.id == tool.id)
        .values(updated_at=clock.now(), **_columns(tool))
    )
    if changed.rowcount == 0:
        raise NotFound("tool", tool.id)
    return get(connection, tenant, tool.id)


def remove(connection: Connection, tenant: Tenant, tool_id: str) -> None:
    """Deletes a tool, and takes it from the user's agents: a later one of its name is another. Raises: NotFound."""
    remove_all(connection, tenant, [get(connection, tenant, tool_id)])


def remove_of_server(connection: Connection, tenant: Tenant, server_id: str, keep: Sequence[str] = ()) -> None:
    """Deletes the tools of an MCP server, but those with a name in `keep`."""
    query = select(tools).where(owned(tools, tenant), tools.c.mcp_server_id == server_id)
    gone = [tool for tool in map(_to_tool, connection.execute(query)) if tool.name not in keep]
    remove_all(connection, tenant, gone)


def remove_all(connection: Connection, tenant: Tenant, gone: Sequence[Tool]) -> None:
    if not gone:
        return
    names = {tool.name for tool in gone}
    rows = connection.execute(select(agents_table.c.id, agents_table.c.body).where(owned(agents_table, tenant))).all()
    for row in rows:
        agent = Agent.FromString(row.body)
        if names.intersection(agent.tools):
            left = Agent(id=row.id, tools=[name for name in agent.tools if name not in names])
            agents.change(connection, tenant, left, ["tools"])
    connection.execute(delete(tools).where(owned(tools, tenant), tools.c.id.in_([tool.id for tool in gone])))


def _columns(tool: Tool) -> dict[str, Any]:
    kept = Tool()
    kept.CopyFrom(tool)
    kept.ClearField("create_time")
    kept.ClearField("update_time")
    return {
        "name": tool.name,
        "tool_type": tool.tool_type,
        "mcp_server_id": tool.mcp_server_id or None,
        "body": kept.SerializeToString(),
    }


def _to_tool(row: Row[Any]) -> Tool:
    tool = Tool.FromString(row.body)
    tool.create_time.CopyFrom(clock.timestamp(row.created_at))
    tool.update_time.CopyFrom(clock.timestamp(row.updated_at))
    return tool
