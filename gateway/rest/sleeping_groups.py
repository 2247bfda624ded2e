"""Agents with sleep-time memory, as the groups that letta-client programs take them for.

On Letta's server a second agent keeps the memory; here it is the agent itself, in a conversation of its own.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from gateway.rest import shapes
from gateway.rest.agents import fetch_agent
from gateway.rest.common import Back
from triptych.agent.v1 import agent_pb2 as pb
from triptych.errors import NotFound
from triptych.type.v1 import type_pb2


async def of(back: Back, group_id: str) -> dict[str, Any] | None:
    """The group of that id, if it is one of these."""
    try:
        agent = await fetch_agent(back, "agent-" + group_id.removeprefix("group-"))
    except NotFound:
        return None
    return shapes.sleeping_group(agent)


async def listed(back: Back, order: type_pb2.SortOrder.ValueType) -> list[dict[str, Any]]:
    """All of them, by the time at which their agents were made."""
    found: list[dict[str, Any]] = []
    request = pb.ListAgentsRequest(page_size=1_000, order=order)
    while True:
        response = await back.agent_peer.unary(back.agents.ListAgents, request)
        found += [group for agent in response.agents if (group := shapes.sleeping_group(agent)) is not None]
        request.page_token = response.next_page_token
        if not request.page_token:
            return found


async def switch(back: Back, agent_id: str, every_turns: int | None, *, enabled: bool = True) -> dict[str, Any] | None:
    """Turns it on or off. `every_turns`: after how many turns memory is kept; None: as it is. Raises: NotFound."""
    agent = await fetch_agent(back, agent_id)
    agent.sleep_time.enabled = enabled
    if every_turns is not None:
        agent.sleep_time.every_turns = every_turns
    wanted = pb.Agent(id=agent.id, sleep_time=agent.sleep_time)
    request = pb.UpdateAgentRequest(agent=wanted, update_mask=FieldMask(paths=["sleep_time"]))
    return shapes.sleeping_group((await back.agent_peer.unary(back.agents.UpdateAgent, request)).agent)
