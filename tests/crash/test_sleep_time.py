"""Sleep-time turns, when agent_service is killed with SIGKILL: what they keep is kept once."""

from __future__ import annotations

import asyncio

import pytest

from agent_service.stores.sleeps import conversation_of
from tests.crash.test_waiting import Mortal, mortal
from tests.support.keys import ANN
from tests.support.recall import eventually
from tests.support.scripted_model import ScriptedModel, is_asleep
from triptych.agent.v1 import agent_pb2 as pb
from triptych.agent.v1 import turn_pb2
from triptych.archival.v1 import archival_pb2
from triptych.archival.v1.archival_pb2_grpc import ArchivalServiceStub

__all__ = ["mortal"]
INSERT = '[[call:memory_insert {"label": "human", "new_string": "y", "sources": [1]}]]'
SAVE = '[[call:archival_memory_insert {"content": "Ann likes tea.", "sources": [1]}]]'
END = "[[call:memory_finish_edits {}]]"


async def sleeper(mortal: Mortal, **settings: int) -> pb.Agent:
    sleep_time = pb.SleepTimeSettings(enabled=True, **settings)
    agent = pb.Agent(name="sleeper", blocks=[pb.Block(label="human", value="x")], sleep_time=sleep_time)
    made: pb.Agent = (await mortal.unary("CreateAgent", pb.CreateAgentRequest(agent=agent))).agent
    return made


async def sleep_turns(mortal: Mortal, agent: pb.Agent) -> list[turn_pb2.Turn]:
    request = turn_pb2.ListTurnsRequest(agent_id=agent.id, conversation_id=conversation_of(agent.id))
    return list((await mortal.peer.unary(mortal.turns.ListTurns, request, caller=ANN)).turns)


async def kept(mortal: Mortal, agent: pb.Agent) -> tuple[str, list[str]]:
    """The block, and the facts, once a sleep-time turn is over; and there was but one."""

    def over(turns: list[turn_pb2.Turn]) -> bool:
        return bool(turns) and turns[0].state == turn_pb2.TURN_STATE_COMPLETED

    turns = await eventually(lambda: sleep_turns(mortal, agent), over)
    assert len(turns) == 1
    block = (await mortal.unary("GetAgent", pb.GetAgentRequest(agent_id=agent.id))).agent.blocks[0]
    request = archival_pb2.ListPassagesRequest(archive_ids=agent.archive_ids)
    archival = ArchivalServiceStub(mortal.archival.channel)
    found = await mortal.archival.unary(archival.ListPassages, request, caller=ANN)
    return block.value, [passage.text for passage in found.passages]


@pytest.mark.parametrize("calls", [0, 1, 2])
async def test_one_that_is_killed_goes_on_and_writes_once(mortal: Mortal, model: ScriptedModel, calls: int) -> None:
    model.asleep = f"[[wait:{calls}]] {INSERT} {SAVE} {END}"
    agent = await sleeper(mortal, every_turns=1)
    await mortal.send(agent, "tea")
    await asyncio.to_thread(model.waiting.wait, 20)
    mortal.die_and_come_back()
    model.release()
    assert await kept(mortal, agent) == ("x\ny", ["Ann likes tea."])


async def test_one_that_was_due_when_it_was_killed_is_done_after_the_restart(
    mortal: Mortal, model: ScriptedModel
) -> None:
    model.asleep = f"{INSERT} {SAVE} {END}"
    agent = await sleeper(mortal, every_turns=100, idle_seconds=2)
    await mortal.send(agent, "tea")
    mortal.die_and_come_back()
    assert not any(is_asleep(request) for request in model.requests)
    assert await kept(mortal, agent) == ("x\ny", ["Ann likes tea."])
