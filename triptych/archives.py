"""Which archives an agent's memory is in."""

from __future__ import annotations

from collections.abc import Container

from triptych.agent.v1.agent_pb2 import Agent
from triptych.errors import FailedPrecondition


def searched(agent: Agent, among: Container[str] | None = None) -> list[str]:
    """Those that it searches (of `among`, if that is given). Never empty, which would be all of the user's."""
    found = [each for each in agent.archive_ids if among is None or each in among]
    return found or [agent.id]  # which no archive has


def saved_to(agent: Agent) -> str:
    """The one that it saves to. Raises: FailedPrecondition if all were taken from it."""
    if not agent.archive_ids:
        raise FailedPrecondition("no archive is attached: attach one, or keep what matters in a memory block")
    return agent.archive_ids[0]
