"""Gives a turn its tools."""

from __future__ import annotations

from agent_service.stores import tools
from agent_service.tools import definitions, registry, toolbox
from agent_service.turns.running import Running


async def equip(running: Running) -> None:
    """Sets the turn's toolbox. An agent with built-in tools alone costs no read."""
    names = registry.others(running.agent.tools)
    wanted = definitions.client_tools(running.claimed.record.request.client_tools)
    if not names and not wanted:
        return
    tenant = running.tenant
    stored = await running.parts.store.read(lambda c: tools.named(c, tenant, names))
    running.toolbox = toolbox.build(running.agent.tools, running.parts.outside.give(stored), wanted)
