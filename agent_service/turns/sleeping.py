"""What makes a sleep-time turn of a turn: it is the agent that runs, with other instructions, tools and model."""

from __future__ import annotations

from agent_service.context.instructions import SLEEP_TIME_INSTRUCTIONS
from agent_service.stores import sleeps
from agent_service.tools import sleep
from triptych.agent.v1.agent_pb2 import Agent
from triptych.agent.v1.turn_pb2 import Turn


def is_sleeping(turn: Turn) -> bool:
    """Whether it is one of an agent's sleep-time turns."""
    return turn.conversation_id == sleeps.conversation_of(turn.agent_id)


def asleep(agent: Agent) -> Agent:
    """The agent as its sleep-time turns run it."""
    sleeper = Agent()
    sleeper.CopyFrom(agent)
    sleeper.system = SLEEP_TIME_INSTRUCTIONS
    sleeper.tools[:] = sleep.NAMES
    sleeper.ClearField("tool_rules")
    if agent.sleep_time.model.handle:
        sleeper.model.CopyFrom(agent.sleep_time.model)
    # What it says is read by nobody: it has no form to keep to.
    sleeper.model.ClearField("response_format")
    return sleeper
