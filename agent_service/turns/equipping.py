"""Gives a turn its tools."""

from __future__ import annotations

from agent_service.stores import sleeps, tools
from agent_service.tools import definitions, registry, sleep, toolbox
from agent_service.turns.running import Running


async def equip(running: Running) -> None:
    """Sets the turn's toolbox. An agent with built-in tools alone costs no read."""
    tenant, turn = running.tenant, running.turn
    if running.sleeping:
        running.toolbox = sleep.toolbox(await running.parts.store.read(lambda c: sleeps.sources(c, tenant, turn.id)))
        return
    names = registry.others(running.agent.tools)
    wanted = definitions.client_tools(running.claimed.record.request.client_tools)
    if not names and not wanted:
        return
    stored = await running.parts.store.read(lambda c: tools.named(c, tenant, names))
    running.toolbox = toolbox.build(running.agent.tools, running.parts.outside.give(stored), wanted)
