"""Turns that wait: for a person's approval, or for a tool that the client runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.test_agent_service import results
from tests.service.test_tools import ToolWorld, rule
from tests.support.keys import ANN, BOB
from tests.support.scripted_model import ScriptedModel
from tests.support.stack import running
from triptych.agent.v1 import agent_pb2 as pb
from triptych.agent.v1 import turn_pb2
from triptych.agent.v1.turn_pb2 import TurnEvent
from triptych.errors import FailedPrecondition, InvalidArgument, NotFound
from triptych.type.v1 import type_pb2

SERVICES = ("recall_service", "archival_service", "agent_service")
INSERT = '[[call:memory_insert {"label": "human", "new_string": "y"}]]'
CLIENT_TOOL = turn_pb2.ClientTool(name="local_time", description="d", parameters='{"type": "object"}')


@pytest.fixture
async def world(tmp_path: Path, model: ScriptedModel) -> AsyncIterator[ToolWorld]:
    async with running(tmp_path, *SERVICES, model_url=model.url) as stack:
        yield ToolWorld(stack)


async def careful(world: ToolWorld) -> pb.Agent:
    return await world.agent_with("memory_insert", rules=[rule("REQUIRES_APPROVAL", "memory_insert")], human="x")


async def go_on(
    world: ToolWorld, turn_id: str, request_id: str = "c1", caller: Any = ANN, **more: Any
) -> list[TurnEvent]:
    request = turn_pb2.ContinueTurnRequest(turn_id=turn_id, request_id=request_id, **more)
    return [r.event async for r in world.peer.stream(world.turns.ContinueTurn, request, caller=caller)]


def word(approve: bool, call_id: str = "call-0", reason: str = "") -> turn_pb2.Approval:
    return turn_pb2.Approval(tool_call_id=call_id, approve=approve, reason=reason)


async def test_a_turn_waits_for_approval_and_does_nothing_before_it(world: ToolWorld) -> None:
    agent = await careful(world)
    events = await world.send(agent, f"{INSERT} please")
    turn = events[-1].approval_request.turn
    assert (turn.state, turn.stop_reason) == (turn_pb2.TURN_STATE_WAITING, turn_pb2.STOP_REASON_REQUIRES_APPROVAL)
    assert [(p.call.id, p.call.name, p.client_side) for p in turn.pending_calls] == [("call-0", "memory_insert", False)]
    assert (await world.get_agent(agent.id)).blocks[0].value == "x"
    rest = await go_on(world, turn.id, approvals=[word(True)])
    assert [event.sequence for event in (*events, *rest)] == list(range(1, len(events) + len(rest) + 1))
    assert rest[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED
    assert not rest[-1].done.turn.pending_calls
    assert (await world.get_agent(agent.id)).blocks[0].value == "x\ny"


async def test_a_denial_is_told_to_the_model_with_its_reason(world: ToolWorld, model: ScriptedModel) -> None:
    agent = await careful(world)
    turn_id = (await world.send(agent, f"{INSERT} please"))[-1].turn_id
    rest = await go_on(world, turn_id, approvals=[word(False, reason="not today")])
    assert results(rest)[0].tool_return.status == type_pb2.TOOL_STATUS_ERROR
    assert "not today" in model.requests[-1]["messages"][-1]["content"]
    assert (await world.get_agent(agent.id)).blocks[0].value == "x"


async def test_an_answer_sent_twice_has_one_effect_and_another_one_is_refused(world: ToolWorld) -> None:
    agent = await careful(world)
    turn_id = (await world.send(agent, f"{INSERT} please"))[-1].turn_id
    both = await asyncio.gather(*(go_on(world, turn_id, approvals=[word(True)]) for _ in range(2)))
    again = await go_on(world, turn_id, approvals=[word(True)])
    journalled = [[event.SerializeToString() for event in events if event.sequence] for events in (*both, again)]
    assert journalled[0] == journalled[1] == journalled[2]
    assert (await world.get_agent(agent.id)).blocks[0].value == "x\ny"
    with pytest.raises(FailedPrecondition) as reused:
        await go_on(world, turn_id, approvals=[word(False)])
    assert reused.value.reason == type_pb2.ERROR_REASON_REQUEST_ID_REUSED
    with pytest.raises(FailedPrecondition, match="does not wait"):
        await go_on(world, turn_id, "c2", approvals=[word(False)])


async def test_each_call_has_its_own_answer_and_the_turn_waits_for_all(world: ToolWorld) -> None:
    agent = await careful(world)
    one = 'memory_insert {"label": "human", "new_string": "one"}'
    turn_id = (await world.send(agent, f"[[calls:{one} && {one.replace('one', 'two')}]] go"))[-1].turn_id
    still = await go_on(world, turn_id, approvals=[word(False, "call-0-1")])
    assert [p.call.id for p in still[-1].approval_request.turn.pending_calls] == ["call-0"]
    rest = await go_on(world, turn_id, "c2", approvals=[word(True)])
    assert [r.tool_return.tool_call_id for r in results(rest)] == ["call-0", "call-0-1"]
    assert (await world.get_agent(agent.id)).blocks[0].value == "x\none"


async def test_a_wait_survives_a_restart(tmp_path: Path, model: ScriptedModel) -> None:
    async with running(tmp_path, *SERVICES, model_url=model.url) as stack:
        world = ToolWorld(stack)
        agent = await careful(world)
        events = await world.send(agent, f"{INSERT} please")
    for _ in range(2):
        async with running(tmp_path, *SERVICES, model_url=model.url) as stack:
            world = ToolWorld(stack)
            turn_id = events[0].turn_id
            await waiting(world, turn_id)
    async with running(tmp_path, *SERVICES, model_url=model.url) as stack:
        world = ToolWorld(stack)
        await waiting(world, turn_id)
        rest = await go_on(world, turn_id, approvals=[word(True)])
        assert rest[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED
        assert (await world.get_agent(agent.id)).blocks[0].value == "x\ny"
        request = turn_pb2.ResumeTurnRequest(turn_id=turn_id)
        every = [r.event async for r in world.peer.stream(world.turns.ResumeTurn, request, caller=ANN)]
        assert [event.sequence for event in every] == list(range(1, len(every) + 1))
        assert sum(event.HasField("approval_request") for event in every) == 1, "a restart does not ask again"
    assert len(model.requests) == 2


async def waiting(world: ToolWorld, turn_id: str) -> None:
    """Returns when the turn waits, by its stream: it ends then."""
    request = turn_pb2.ResumeTurnRequest(turn_id=turn_id)
    async for _ in world.peer.stream(world.turns.ResumeTurn, request, caller=ANN):
        continue
    found = await world.peer.unary(world.turns.GetTurn, turn_pb2.GetTurnRequest(turn_id=turn_id), caller=ANN)
    assert found.turn.state == turn_pb2.TURN_STATE_WAITING
    assert found.turn.pending_calls


async def test_a_cancelled_wait_completes_the_pair_and_the_agent_goes_on(
    world: ToolWorld, model: ScriptedModel
) -> None:
    agent = await careful(world)
    turn_id = (await world.send(agent, f"{INSERT} please"))[-1].turn_id
    cancel = turn_pb2.CancelTurnRequest(turn_id=turn_id)
    cancelled = (await world.peer.unary(world.turns.CancelTurn, cancel, caller=ANN)).turn
    assert cancelled.state == turn_pb2.TURN_STATE_CANCELLED
    assert not cancelled.pending_calls
    with pytest.raises(FailedPrecondition):
        await go_on(world, turn_id, approvals=[word(True)])
    assert (await world.send(agent, "and now"))[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED
    sent = model.requests[-1]["messages"]
    asked = {call["id"] for message in sent for call in message.get("tool_calls", ())}
    assert asked == {message["tool_call_id"] for message in sent if message["role"] == "tool"}
    assert (await world.get_agent(agent.id)).blocks[0].value == "x"


async def test_while_a_turn_waits_the_next_is_refused_and_other_conversations_go_on(world: ToolWorld) -> None:
    agent = await careful(world)
    turn_id = (await world.send(agent, f"{INSERT} please"))[-1].turn_id
    with pytest.raises(FailedPrecondition) as refused:
        await world.send(agent, "hello?")
    assert refused.value.reason == type_pb2.ERROR_REASON_TURN_WAITING
    assert refused.value.metadata["turn_id"] == turn_id
    compact = pb.CompactConversationRequest(agent_id=agent.id, mode=pb.COMPACTION_MODE_ALL, request_id="c")
    with pytest.raises(FailedPrecondition) as refused:  # at once: nobody knows how long it waits
        await world.peer.unary(world.agents.CompactConversation, compact, caller=ANN, seconds=10)
    assert refused.value.reason == type_pb2.ERROR_REASON_TURN_WAITING
    again = await world.send(agent, f"{INSERT} please")
    assert again[-1].HasField("approval_request"), "a replay only attaches"
    other = pb.CreateConversationRequest(conversation=pb.Conversation(agent_id=agent.id))
    conversation = (await world.unary("CreateConversation", other)).conversation
    events = await world.send(agent, "hello there", conversation_id=conversation.id)
    assert events[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED
    await go_on(world, turn_id, approvals=[word(True)])
    assert (await world.send(agent, "hello?"))[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED


async def test_a_client_runs_its_tool_and_the_model_gets_what_it_returned(
    world: ToolWorld, model: ScriptedModel
) -> None:
    agent = await world.agent_with("memory_insert", human="x")
    events = await world.send(agent, "[[call:local_time {}]] now?", client_tools=[CLIENT_TOOL])
    pending = events[-1].approval_request.turn.pending_calls[0]
    assert pending.client_side
    assert [t["function"]["name"] for t in model.requests[0]["tools"]] == ["memory_insert", "local_time"]
    returned = turn_pb2.ClientToolReturn(tool_call_id=pending.call.id, text="half past nine")
    rest = await go_on(world, events[0].turn_id, tool_returns=[returned])
    assert rest[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED
    assert model.requests[-1]["messages"][-1] == {"role": "tool", "tool_call_id": "call-0", "content": "half past nine"}
    later = await world.send(agent, "[[call:local_time {}]] and now?")
    assert "no tool named" in results(later)[0].text, "a client's tool is there for its turn alone"


async def test_a_stored_client_tool_waits_too_and_what_it_returns_is_cut(world: ToolWorld) -> None:
    tool = await world.new_tool(return_char_limit=10)
    agent = await world.agent_with(tool.name)
    turn_id = (await world.send(agent, '[[call:weather {"city": "Oslo"}]]'))[-1].turn_id
    returned = turn_pb2.ClientToolReturn(tool_call_id="call-0", text="r" * 900_000, status=type_pb2.TOOL_STATUS_ERROR)
    result = results(await go_on(world, turn_id, tool_returns=[returned]))[0]
    assert result.text.startswith("r" * 10 + "\n[cut")
    assert result.tool_return.status == type_pb2.TOOL_STATUS_ERROR


async def test_answers_may_come_as_a_start_in_the_conversation(world: ToolWorld) -> None:
    agent = await careful(world)
    await world.send(agent, f"{INSERT} please")
    request = turn_pb2.StartTurnRequest(agent_id=agent.id, request_id="s1", approvals=[word(True)])
    for _ in range(2):
        events = [r.event async for r in world.peer.stream(world.turns.StartTurn, request, caller=ANN)]
        assert events[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED
    assert (await world.get_agent(agent.id)).blocks[0].value == "x\ny"


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {"approvals": [word(True, "no-such-call")]},
        {"approvals": [word(True), word(True)]},
        {"tool_returns": [turn_pb2.ClientToolReturn(tool_call_id="call-0", text="forged")]},
        {"approvals": [word(True, reason="r" * 20_000)]},
        {"request_id": "", "approvals": [word(True)]},
    ],
)
async def test_a_wrong_answer_is_refused_and_the_turn_waits_on(world: ToolWorld, answers: dict[str, Any]) -> None:
    agent = await careful(world)
    turn_id = (await world.send(agent, f"{INSERT} please"))[-1].turn_id
    with pytest.raises(InvalidArgument):
        await go_on(world, turn_id, **answers)
    assert (await go_on(world, turn_id, "c2", approvals=[word(True)]))[-1].HasField("done")


async def test_a_stranger_can_neither_see_nor_answer_a_wait(world: ToolWorld) -> None:
    agent = await careful(world)
    turn_id = (await world.send(agent, f"{INSERT} please"))[-1].turn_id
    with pytest.raises(NotFound):
        await go_on(world, turn_id, caller=BOB, approvals=[word(True)])
    request = turn_pb2.StartTurnRequest(agent_id=agent.id, request_id="s1", approvals=[word(True)])
    with pytest.raises(FailedPrecondition, match="no turn"):
        await anext(aiter(world.peer.stream(world.turns.StartTurn, request, caller=BOB)))
    assert (await world.get_agent(agent.id)).blocks[0].value == "x"


async def test_the_client_tools_of_a_request_are_checked(world: ToolWorld) -> None:
    agent = await world.agent_with("memory_insert", human="x")
    for wrong in (
        turn_pb2.ClientTool(name="memory_insert"),
        turn_pb2.ClientTool(name="bad name"),
        turn_pb2.ClientTool(name="bad_end\n"),
        turn_pb2.ClientTool(name="t", parameters="nonsense"),
        turn_pb2.ClientTool(name="t", parameters=json.dumps({"type": "array"})),
    ):
        with pytest.raises(InvalidArgument):
            await world.send(agent, "hello", client_tools=[wrong])


async def test_half_a_character_in_a_schema_reaches_the_model_as_a_whole_one(
    world: ToolWorld, model: ScriptedModel
) -> None:
    schema = '{"type": "object", "properties": {"a": {"description": "half \\ud83d"}}}'
    tool = turn_pb2.ClientTool(name="t", description="d", parameters=schema)
    events = await world.send(await world.agent_with(human="x"), "hello", client_tools=[tool])
    assert events[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED
    (shown,) = model.requests[-1]["tools"]
    assert shown["function"]["parameters"]["properties"]["a"]["description"] == "half \ufffd"
