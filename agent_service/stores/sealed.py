"""Brings stored secrets up to this version and to the secret of now, when the service starts."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, Table, select, update

from agent_service.sealing import Sealer
from agent_service.stores import mcp_servers
from agent_service.stores.tables import mcp_servers as servers
from agent_service.stores.tables import model_providers
from servicekit.principal import Tenant
from servicekit.sql import StoreError
from triptych.agent.v1.agent_pb2 import McpServer


def bring_up(connection: Connection, sealer: Sealer) -> int:
    """Encrypts what an older version kept as it was, and anew what the former secret encrypted. Gives their number.

    Raises: StoreError for what neither secret can decrypt.
    """
    changed = 0
    for row in connection.execute(select(servers).where(servers.c.sealed.is_(None))).all():
        columns = mcp_servers.columns(sealer, _tenant(row), McpServer.FromString(row.body))
        _write(connection, servers, row, columns)
        changed += 1
    for table in (servers, model_providers):
        for row in connection.execute(select(table)).all():
            if not sealer.knows(row.sealed):
                raise StoreError(
                    "the store's secrets (keys of model providers, headers of MCP servers) were encrypted by another "
                    "secret than this one: set TRIPTYCH_AGENT_SECRET_FILE to it, or TRIPTYCH_AGENT_FORMER_SECRET_FILE "
                    "to have them encrypted anew"
                )
            if not sealer.is_current(row.sealed):
                place = (table.name, *_tenant(row), row.id)
                _write(connection, table, row, {"sealed": sealer.seal(sealer.open(row.sealed, *place), *place)})
                changed += 1
    return changed


def _tenant(row: Row[Any]) -> Tenant:
    return Tenant(row.account_id, row.user_id)


def _write(connection: Connection, table: Table, row: Row[Any], columns: dict[str, Any]) -> None:
    mine = (table.c.account_id == row.account_id) & (table.c.user_id == row.user_id) & (table.c.id == row.id)
    connection.execute(update(table).where(mine).values(**columns))
