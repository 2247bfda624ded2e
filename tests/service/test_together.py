"""`StartTurnRequest.together`: what happens behind the acceptance in one answer, for who waits for the end anyway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_service import turn_servicer
from tests.service.test_tools import ToolWorld, rule
from tests.support.keys import ANN
from tests.support.scripted_model import ScriptedModel
from tests.support.stack import running
from triptych.agent.v1 import turn_pb2 as pb
from triptych.errors import InvalidArgument

SERVICES = ("recall_service", "archival_service", "agent_service")
INSERT = '[[call:memory_insert {"label": "human", "new_string": "y"}]]'


@pytest.fixture
async def world(tmp_path: Path, model: ScriptedModel) -> AsyncIterator[ToolWorld]:
    async with running(tmp_path, *SERVICES, model_url=model.url) as stack:
        yield ToolWorld(stack)


async def _started(
    world: ToolWorld, agent_id: str, text: str, request_id: str, **how: bool
) -> list[pb.StartTurnResponse]:
    said = [pb.InputMessage(text=text)]
    request = pb.StartTurnRequest(agent_id=agent_id, request_id=request_id, messages=said, **how)
    return [response async for response in world.peer.stream(world.turns.StartTurn, request, caller=ANN)]


async def test_what_happens_comes_at_the_end_and_is_what_would_have_come_one_by_one(world: ToolWorld) -> None:
    agent = await world.agent_with("memory_insert", human="x")
    first, *others = await _started(world, agent.id, f"{INSERT} note it", "r1", together=True)
    assert first.event.HasField("accepted")
    (rest,) = others
    one_by_one = await _started(world, agent.id, f"{INSERT} note it", "r1")
    assert [first.event, *rest.events] == [response.event for response in one_by_one]
    assert rest.events[-1].done.turn.state == pb.TURN_STATE_COMPLETED


async def test_a_turn_that_waits_says_so_then(world: ToolWorld) -> None:
    agent = await world.agent_with("memory_insert", rules=[rule("REQUIRES_APPROVAL", "memory_insert")], human="x")
    _, rest = await _started(world, agent.id, f"{INSERT} note it", "r1", together=True)
    assert [call.call.name for call in rest.events[-1].approval_request.turn.pending_calls] == ["memory_insert"]


async def test_a_turn_with_much_to_say_says_it_in_several_answers(
    world: ToolWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_servicer, "_ANSWER_BYTES", 200)
    agent = await world.agent_with("memory_insert", human="x")
    _, *rest = await _started(world, agent.id, f"{INSERT} note it", "r1", together=True)
    assert len(rest) > 1
    said = [event.sequence for response in rest for event in response.events]
    assert said == list(range(2, 2 + len(said)))
    assert rest[-1].events[-1].HasField("done")


async def test_pieces_are_not_sent_together(world: ToolWorld) -> None:
    agent = await world.agent_with("memory_insert", human="x")
    with pytest.raises(InvalidArgument, match="together"):
        await _started(world, agent.id, "hello", "r1", together=True, deltas=True)
