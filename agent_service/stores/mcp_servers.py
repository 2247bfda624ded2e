"""The MCP servers that a user has registered. What their headers and environments say is secret: kept encrypted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from agent_service import clock
from agent_service.sealing import Sealer
from agent_service.stores import tools
from agent_service.stores.rows import Window, fetch, owned, owner
from agent_service.stores.tables import mcp_servers
from servicekit import ids
from servicekit.principal import Tenant
from triptych.agent.v1.agent_pb2 import McpServer, Tool
from triptych.errors import AlreadyExists, FailedPrecondition, NotFound

MAX_SERVERS = 100


def create(
    connection: Connection, sealer: Sealer, tenant: Tenant, wanted: McpServer, offered: Sequence[Tool]
) -> tuple[McpServer, list[Tool]]:
    """Keeps a server under the id it has been given, with a tool of each that it offers.

    Raises: AlreadyExists for its name, or a tool's; FailedPrecondition at 100 servers.
    """
    mine = owned(mcp_servers, tenant)
    if connection.execute(select(mcp_servers.c.id).where(mine, mcp_servers.c.name == wanted.name)).first():
        raise AlreadyExists(f"there is an MCP server {wanted.name} already")
    if connection.execute(select(func.count()).select_from(mcp_servers).where(mine)).scalar_one() >= MAX_SERVERS:
        raise FailedPrecondition(f"a user has at most {MAX_SERVERS} MCP servers")
    at = clock.now()
    row = {"id": wanted.id, "name": wanted.name, "created_at": at, "updated_at": at}
    row |= columns(sealer, tenant, wanted)
    connection.execute(insert(mcp_servers).values(**owner(tenant), **row))
    return get(connection, tenant, wanted.id), [tools.create(connection, tenant, tool) for tool in offered]


def new_id() -> str:
    return ids.new("mcp_server")


def columns(sealer: Sealer, tenant: Tenant, server: McpServer) -> dict[str, Any]:
    """What is kept of it."""
    sealed = sealer.seal(server.SerializeToString(), *_place(tenant, server.id))
    return {"body": _without_secrets(server).SerializeToString(), "sealed": sealed}


def get(connection: Connection, tenant: Tenant, server_id: str) -> McpServer:
    """Without its secrets. Raises: NotFound."""
    return _to_server(_row(connection, tenant, server_id))


def get_with_secrets(connection: Connection, sealer: Sealer, tenant: Tenant, server_id: str) -> McpServer:
    """Raises: NotFound; FailedPrecondition if the secrets can't be decrypted any more."""
    row = _row(connection, tenant, server_id)
    return _to_server(row, sealer.open(row.sealed, *_place(tenant, server_id)))


def _row(connection: Connection, tenant: Tenant, server_id: str) -> Row[Any]:
    query = select(mcp_servers).where(owned(mcp_servers, tenant), mcp_servers.c.id == server_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("MCP server", server_id)
    return row


def _place(tenant: Tenant, server_id: str) -> tuple[str, ...]:
    return ("mcp_servers", *tenant, server_id)


def _without_secrets(server: McpServer) -> McpServer:
    shown = McpServer()
    shown.CopyFrom(server)
    for pairs in (shown.headers, shown.environment):
        for name in list(pairs):
            pairs[name] = ""
    return shown


def list_page(connection: Connection, tenant: Tenant, window: Window) -> tuple[list[McpServer], str]:
    """Without their secrets."""
    query = select(mcp_servers).where(owned(mcp_servers, tenant))
    rows, token = fetch(connection, query, mcp_servers, tenant, window)
    return [_to_server(row) for row in rows], token


def refresh(connection: Connection, tenant: Tenant, server_id: str, offered: Sequence[Tool]) -> list[Tool]:
    """Makes the server's tools those that it offers now; what users set for those that stay, stays.

    Raises: NotFound; AlreadyExists for a tool's name.
    """
    get(connection, tenant, server_id)
    tools.remove_of_server(connection, tenant, server_id, keep=[tool.name for tool in offered])
    known = {tool.name: tool for tool in tools.named(connection, tenant, [tool.name for tool in offered])}
    current = [_refreshed(connection, tenant, known.get(tool.name), tool) for tool in offered]
    connection.execute(
        update(mcp_servers)
        .where(owned(mcp_servers, tenant), mcp_servers.c.id == server_id)
        .values(updated_at=clock.now())
    )
    return current


def change(
    connection: Connection, sealer: Sealer, tenant: Tenant, server: McpServer, offered: Sequence[Tool]
) -> tuple[McpServer, list[Tool]]:
    """Keeps a server that is reached otherwise now, with what it offers there. Raises: as `refresh`."""
    current = refresh(connection, tenant, server.id, offered)
    connection.execute(
        update(mcp_servers)
        .where(owned(mcp_servers, tenant), mcp_servers.c.id == server.id)
        .values(**columns(sealer, tenant, server))
    )
    return get(connection, tenant, server.id), current


def _refreshed(connection: Connection, tenant: Tenant, known: Tool | None, offered: Tool) -> Tool:
    if known is None or known.mcp_server_id != offered.mcp_server_id:
        return tools.create(connection, tenant, offered)
    known.description, known.json_schema = offered.description, offered.json_schema
    return tools.store(connection, tenant, known)


def remove(connection: Connection, tenant: Tenant, server_id: str) -> None:
    """Deletes a server with its tools. Raises: NotFound."""
    get(connection, tenant, server_id)
    tools.remove_of_server(connection, tenant, server_id)
    connection.execute(delete(mcp_servers).where(owned(mcp_servers, tenant), mcp_servers.c.id == server_id))


def _to_server(row: Row[Any], body: bytes | None = None) -> McpServer:
    server = McpServer.FromString(row.body if body is None else body)
    server.create_time.CopyFrom(clock.timestamp(row.created_at))
    server.update_time.CopyFrom(clock.timestamp(row.updated_at))
    return server
