"""What the door keeps of agents that were listed is bounded by its size, and shown as if nothing were kept."""

from __future__ import annotations

import json

import orjson

from gateway.rest import catalogue, shapes
from triptych.agent.v1.agent_pb2 import Agent, Block


def _agent(number: int, characters: int) -> Agent:
    return Agent(id=f"agent-{number}", name="a", blocks=[Block(label="human", value="x" * characters)])


def _shown(agent: Agent) -> object:
    return json.loads(catalogue._encoded_agent(agent.SerializeToString(), 8_000, "m"))


def test_an_agent_is_shown_as_it_now_is() -> None:
    agent = _agent(1, 10)
    for value in ("before", "after", "before"):
        agent.blocks[0].value = value
        assert _shown(agent) == json.loads(orjson.dumps(shapes.agent(agent, {}, {}, 8_000, "m")))


def test_large_agents_push_others_out_and_one_too_large_is_not_kept() -> None:
    for number in range(20):
        assert _shown(_agent(number, 1_000_000))
    assert 0 < catalogue._kept.currsize <= catalogue._KEPT_BYTES
    kept = catalogue._kept.currsize
    assert _shown(_agent(99, catalogue._KEPT_BYTES))
    assert catalogue._kept.currsize <= kept
