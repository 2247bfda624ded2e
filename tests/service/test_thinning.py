"""Turns that ended a while ago: their journal keeps ids, and whoever asks gets the words that recall has."""

from __future__ import annotations

import asyncio
import itertools
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.service.test_agent_service import World
from tests.support.keys import ANN, BOB
from tests.support.recall import eventually
from tests.support.scripted_model import ScriptedModel, is_asleep
from tests.support.stack import Stack, running
from triptych.agent.v1 import agent_pb2 as pb
from triptych.agent.v1 import step_pb2, turn_pb2
from triptych.agent.v1.step_pb2_grpc import StepServiceStub
from triptych.agent.v1.turn_pb2 import TurnEvent
from triptych.errors import NotFound
from triptych.recall.v1 import recall_pb2

SERVICES = ("recall_service", "archival_service", "agent_service")
WORD = "quince"
SAID = f'[[call:conversation_search {{"query": "{WORD}"}}]] the {WORD} is ripe'


class ThinWorld(World):
    def __init__(self, stack: Stack, folder: Path) -> None:
        super().__init__(stack)
        self.steps = StepServiceStub(self.peer.channel)
        self._file = folder / "agent.db"

    def words_kept(self) -> int:
        """How many rows of journal and turns have the word."""
        with closing(sqlite3.connect(self._file)) as connection:
            rows = connection.execute("SELECT event FROM journal UNION ALL SELECT request FROM turns")
            return sum(WORD.encode() in raw for (raw,) in rows)

    async def thinned(self) -> None:
        """Waits until the word is nowhere. That recall has a turn is noted with a later write."""
        agent = await self.new_agent()
        number = itertools.count()

        async def kept() -> int:
            await self.send(agent, f"next {next(number)}")
            return await asyncio.to_thread(self.words_kept)

        await eventually(kept, (0).__eq__)

    async def resume(self, turn_id: str, after: int = 0, caller: Any = ANN) -> list[TurnEvent]:
        request = turn_pb2.ResumeTurnRequest(turn_id=turn_id, after_sequence=after)
        return [r.event async for r in self.peer.stream(self.turns.ResumeTurn, request, caller=caller)]

    async def request_of(self, turn_id: str) -> str:
        listing = step_pb2.ListStepsRequest(turn_id=turn_id)
        (_, first) = (await self.peer.unary(self.steps.ListSteps, listing, caller=ANN)).steps
        request = step_pb2.GetStepContextRequest(step_id=first.id)
        return (await self.peer.unary(self.steps.GetStepContext, request, caller=ANN)).request_json


@pytest.fixture
async def world(tmp_path: Path, model: ScriptedModel) -> AsyncIterator[ThinWorld]:
    more = {"TRIPTYCH_TURN_WORDS_SECONDS": "0"}
    async with running(tmp_path, *SERVICES, model_url=model.url, more=more) as stack:
        yield ThinWorld(stack, tmp_path)


async def test_a_thinned_turn_is_resumed_replayed_and_rebuilt_as_it_was(world: ThinWorld, model: ScriptedModel) -> None:
    agent = await world.new_agent()
    events = await world.send(agent, SAID, request_id="r")
    turn_id = events[0].turn_id
    await world.thinned()
    for after in range(len(events) + 1):
        assert await world.resume(turn_id, after) == events[after:]
        request = turn_pb2.ListTurnEventsRequest(turn_id=turn_id, after_sequence=after, page_size=2)
        page = await world.peer.unary(world.turns.ListTurnEvents, request, caller=ANN)
        assert list(page.events) == events[after : after + 2]
    asked = len(model.requests)
    assert await world.send(agent, SAID, request_id="r") == events
    assert len(model.requests) == asked, "nothing ran again"
    assert json.loads(await world.request_of(turn_id)) == model.requests[0]
    with pytest.raises(NotFound):
        await world.resume(turn_id, caller=BOB)


async def test_an_answer_to_a_thinned_turn_is_the_same_when_it_is_sent_again(world: ThinWorld) -> None:
    tool = turn_pb2.ClientTool(name="look", description="d", parameters='{"type": "object"}')
    agent = await world.new_agent()
    call = f'[[call:look {{"at": "{WORD}"}}]] look'
    turn = (await world.send(agent, call, request_id="r", client_tools=[tool]))[-1].approval_request.turn
    returned = turn_pb2.ClientToolReturn(tool_call_id="call-0", text=f"a {WORD}")
    answer = turn_pb2.ContinueTurnRequest(turn_id=turn.id, request_id="c", tool_returns=[returned])

    async def continued() -> list[TurnEvent]:
        return [r.event async for r in world.peer.stream(world.turns.ContinueTurn, answer, caller=ANN)]

    first = await continued()
    every = await world.resume(turn.id)
    await world.thinned()
    assert await continued() == first
    assert await world.resume(turn.id) == every


async def test_words_that_changed_in_recall_or_are_gone_are_so_here(world: ThinWorld) -> None:
    agent = await world.new_agent()
    events = await world.send(agent, SAID, request_id="r")
    await world.thinned()
    (said,) = events[0].accepted.messages
    update = recall_pb2.UpdateMessageRequest(message_id=said.id, text="withdrawn", request_id="u")
    await world.recall_peer.unary(world.recall.UpdateMessage, update, caller=ANN)
    assert (await world.resume(events[0].turn_id))[0].accepted.messages[0].text == "withdrawn"
    purge = recall_pb2.PurgeMessagesRequest(agent_id=agent.id, request_id="p")
    await world.recall_peer.unary(world.recall.PurgeMessages, purge, caller=ANN)
    resumed = await world.resume(events[0].turn_id)
    assert [event.sequence for event in resumed] == [event.sequence for event in events]
    assert not any(WORD in str(event) for event in resumed)


async def test_what_a_sleep_time_turn_says_to_itself_stays(world: ThinWorld, model: ScriptedModel) -> None:
    model.asleep = f"{SAID} [[say:no {WORD} worth keeping]]".replace("conversation_search", "archival_memory_search")
    settings = pb.SleepTimeSettings(enabled=True, every_turns=1)
    request = pb.CreateAgentRequest(agent=pb.Agent(sleep_time=settings))
    agent = (await world.peer.unary(world.agents.CreateAgent, request, caller=ANN)).agent
    await world.send(agent, "hello")

    async def asleep() -> list[turn_pb2.Turn]:
        listing = turn_pb2.ListTurnsRequest(agent_id=agent.id, conversation_id=agent.sleep_time.conversation_id)
        return list((await world.peer.unary(world.turns.ListTurns, listing, caller=ANN)).turns)

    (turn,) = await eventually(asleep, lambda turns: [t.state for t in turns] == [turn_pb2.TURN_STATE_COMPLETED])
    await world.send(agent, "once more")
    await world.send(agent, "and again")
    await asyncio.sleep(0.5)
    assert any(f"no {WORD}" in event.message.text for event in await world.resume(turn.id))
    first = next(request for request in model.requests if is_asleep(request))
    assert json.loads(await world.request_of(turn.id)) == first


async def test_a_turn_that_has_just_ended_is_resumed_without_recall(tmp_path: Path, model: ScriptedModel) -> None:
    async with AsyncExitStack() as recall:
        where = (await recall.enter_async_context(running(tmp_path, "recall_service"))).environ
        more = {"TRIPTYCH_RECALL_ADDRESS": where["TRIPTYCH_RECALL_ADDRESS"]}
        async with running(tmp_path, *SERVICES[1:], model_url=model.url, more=more) as stack:
            world = ThinWorld(stack, tmp_path)
            agent = await world.new_agent()
            events = await world.send(agent, SAID, request_id="r")
            await recall.aclose()
            assert await world.resume(events[0].turn_id) == events
            assert await world.send(agent, SAID, request_id="r") == events
