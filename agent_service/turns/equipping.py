"""Gives a turn its tools and files."""

from __future__ import annotations

from agent_service.stores import sleeps, tools
from agent_service.tools import definitions, registry, sleep, toolbox
from agent_service.tools.desk import Desk
from agent_service.turns.running import Running


async def equip(running: Running) -> None:
    """Sets the turn's toolbox, and tidies its files up. Built-in tools alone, and no open file, cost no read."""
    tenant, turn = running.tenant, running.turn
    await Desk(running.parts.store, running.parts.tiers).tidy(running.principal, running.agent)
    if running.sleeping:
        running.toolbox = sleep.toolbox(await running.parts.store.read(lambda c: sleeps.sources(c, tenant, turn.id)))
        return
    if running.guest:  # what it was made with is all
        return
    names = registry.others(running.agent.tools)
    wanted = definitions.client_tools(running.claimed.record.request.client_tools)
    if not names and not wanted:
        return
    stored = await running.parts.store.read(lambda c: tools.named(c, tenant, names))
    running.toolbox = toolbox.build(running.agent.tools, running.parts.outside.give(stored), wanted)
