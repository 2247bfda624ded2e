"""The files that are open in an agent's context: few, and the longest unused is closed first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from agent_service.stores import agents
from servicekit.principal import Tenant
from triptych.agent.v1.agent_pb2 import Agent, FileView

MAX_OPEN = 5


def put(
    connection: Connection, tenant: Tenant, agent_id: str, new: Sequence[FileView], *, close_others: bool = False
) -> tuple[Agent, list[FileView]]:
    """Opens files, or other parts of open ones; gives the agent, and what was closed for them. Raises: NotFound."""
    agent = agents.get(connection, tenant, agent_id)
    anew = {view.document_id for view in new}
    others = [view for view in agent.open_files if view.document_id not in anew]
    room = 0 if close_others else max(0, MAX_OPEN - len(new))
    closed = others[: max(0, len(others) - room)]
    return _keep(connection, tenant, agent, [*others[len(closed) :], *new][-MAX_OPEN:]), closed


def close(
    connection: Connection, tenant: Tenant, agent_id: str, document_ids: Iterable[str] | None = None
) -> tuple[Agent, list[FileView]]:
    """Closes those of the files that are open, all if none is named; gives the agent, and them. Raises: NotFound."""
    agent = agents.get(connection, tenant, agent_id)
    wanted = None if document_ids is None else set(document_ids)
    closed = [view for view in agent.open_files if wanted is None or view.document_id in wanted]
    kept = [view for view in agent.open_files if view not in closed]
    return (_keep(connection, tenant, agent, kept) if closed else agent), closed


def _keep(connection: Connection, tenant: Tenant, agent: Agent, views: Sequence[FileView]) -> Agent:
    kept = list(views)
    del agent.open_files[:]
    agent.open_files.extend(kept)
    agents.rewrite(connection, tenant, agent)
    return agent
