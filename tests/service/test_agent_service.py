"""agent_service over real gRPC, with real recall and archival services and a real HTTP model."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from servicekit.channel import Peer
from servicekit.principal import Principal
from tests.support.keys import ANN, BOB
from tests.support.recall import eventually
from tests.support.scripted_model import ScriptedModel
from tests.support.stack import Stack, running
from triptych.agent.v1 import agent_pb2 as pb
from triptych.agent.v1 import turn_pb2
from triptych.agent.v1.agent_pb2_grpc import AgentServiceStub
from triptych.agent.v1.turn_pb2_grpc import TurnServiceStub
from triptych.errors import FailedPrecondition, InvalidArgument, NotFound, TriptychError, Unavailable
from triptych.recall.v1 import recall_pb2
from triptych.recall.v1.recall_pb2_grpc import RecallServiceStub
from triptych.type.v1 import type_pb2


class World:
    """The services, and short ways to use them as somebody."""

    def __init__(self, stack: Stack) -> None:
        self.peer: Peer = stack.peer("agent_service")
        self.recall_peer: Peer = stack.peer("recall_service")
        self.agents = AgentServiceStub(self.peer.channel)
        self.turns = TurnServiceStub(self.peer.channel)
        self.recall = RecallServiceStub(self.recall_peer.channel)

    async def new_agent(self, caller: Principal = ANN, **blocks: str) -> pb.Agent:
        agent = pb.Agent(name="tester", blocks=[pb.Block(label=label, value=value) for label, value in blocks.items()])
        request = pb.CreateAgentRequest(agent=agent, include_base_tools=True)
        return (await self.peer.unary(self.agents.CreateAgent, request, caller=caller)).agent

    async def get_agent(self, agent_id: str, caller: Principal = ANN) -> pb.Agent:
        request = pb.GetAgentRequest(agent_id=agent_id)
        return (await self.peer.unary(self.agents.GetAgent, request, caller=caller)).agent

    async def send(
        self, agent: pb.Agent, text: str, *, request_id: str = "", caller: Principal = ANN, **more: object
    ) -> list[turn_pb2.TurnEvent]:
        request = turn_pb2.StartTurnRequest(
            agent_id=agent.id,
            request_id=request_id or text[:100],
            messages=[turn_pb2.InputMessage(text=text)],
            **more,  # type: ignore[arg-type]
        )
        return [r.event async for r in self.peer.stream(self.turns.StartTurn, request, caller=caller)]

    async def messages(self, agent: pb.Agent, caller: Principal = ANN) -> list[recall_pb2.Message]:
        request = recall_pb2.ListMessagesRequest(
            agent_id=agent.id, conversation_id=agent.default_conversation_id, page_size=1000
        )
        return list((await self.recall_peer.unary(self.recall.ListMessages, request, caller=caller)).messages)


@pytest.fixture
async def world(tmp_path: Path, model: ScriptedModel) -> AsyncIterator[World]:
    services = ("recall_service", "archival_service", "agent_service")
    async with running(tmp_path, *services, model_url=model.url) as stack:
        yield World(stack)


def results(events: list[turn_pb2.TurnEvent]) -> list[recall_pb2.Message]:
    return [event.tool_result for event in events if event.HasField("tool_result")]


async def test_a_turn_answers_and_recall_has_both_messages_when_it_is_done(world: World) -> None:
    agent = await world.new_agent()
    events = await world.send(agent, "hello there", deltas=True)
    assert [event.sequence for event in events if event.sequence] == list(range(1, 5))
    assert events[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED
    assert "".join(event.text_delta.text for event in events) == "ok: hello there"
    said = await world.messages(agent)
    assert [(m.sequence, m.role, m.text) for m in said] == [
        (1, type_pb2.ROLE_USER, "hello there"),
        (2, type_pb2.ROLE_ASSISTANT, "ok: hello there"),
    ]


async def test_core_memory_stands_in_the_prompt_and_edits_show_in_the_next_step(
    world: World, model: ScriptedModel
) -> None:
    agent = await world.new_agent(human="Name: Ann.")
    call = json.dumps({"label": "human", "new_string": "Lives in Oslo."})
    events = await world.send(agent, f"[[call:memory_insert {call}]] [[recite]]")
    edit = next(event.memory_edit for event in events if event.HasField("memory_edit"))
    assert (edit.old_value, edit.new_value) == ("Name: Ann.", "Name: Ann.\nLives in Oslo.")
    assert "Name: Ann." in model.requests[0]["messages"][0]["content"]
    assert "Lives in Oslo." not in model.requests[0]["messages"][0]["content"]
    assert "Name: Ann.\nLives in Oslo." in model.requests[1]["messages"][0]["content"]
    assert (await world.get_agent(agent.id)).blocks[0].value == "Name: Ann.\nLives in Oslo."


async def test_archival_and_recall_tools_find_what_was_saved(world: World) -> None:
    agent = await world.new_agent()
    await world.send(
        agent, '[[call:archival_memory_insert {"content": "Eva, Ann\'s sister, is a glaciologist."}]] save'
    )
    found = results(await world.send(agent, '[[call:archival_memory_search {"query": "glaciologist sister"}]] look'))
    assert "Eva" in found[0].text
    await world.send(agent, "the quince jam is in the cellar")
    found = results(await world.send(agent, '[[call:conversation_search {"query": "quince cellar"}]] where'))
    assert "quince jam is in the cellar" in found[0].text


@pytest.mark.parametrize(
    ("directive", "problem"),
    [
        ("[[raw:memory_insert not json]]", "not valid JSON"),
        ("[[call:no_such_tool {}]]", "no tool named"),
        ('[[call:memory_insert {"label": "human"}]]', "new_string"),
        ('[[call:memory_insert {"label": "nope", "new_string": "x"}]]', "no memory block labelled nope"),
        ('[[call:memory_replace {"label": "human", "old_string": "zzz", "new_string": "x"}]]', "not found"),
        ('[[call:conversation_search {"query": "x", "start_date": "yesterday"}]]', "ISO 8601"),
    ],
)
async def test_what_the_agent_did_wrong_is_told_to_it_and_the_turn_goes_on(
    world: World, directive: str, problem: str
) -> None:
    agent = await world.new_agent(human="Name: Ann.")
    events = await world.send(agent, f"{directive} go on")
    assert results(events)[0].tool_return.status == type_pb2.TOOL_STATUS_ERROR
    assert problem in results(events)[0].text
    assert events[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED


async def test_limits_and_read_only_hold_for_the_agent_and_for_clients(world: World) -> None:
    request = pb.CreateAgentRequest(
        agent=pb.Agent(
            blocks=[
                pb.Block(label="small", value="", limit=10),
                pb.Block(label="fixed", value="stays", read_only=True),
            ]
        ),
        include_base_tools=True,
    )
    agent = (await world.peer.unary(world.agents.CreateAgent, request, caller=ANN)).agent
    for label, problem in (("small", "more than the 10"), ("fixed", "read-only")):
        call = json.dumps({"label": label, "new_string": "longer than ten"})
        assert problem in results(await world.send(agent, f"[[call:memory_insert {call}]] {label}"))[0].text
    wanted = pb.Block(id=agent.blocks[0].id, value="longer than ten")
    update = pb.UpdateBlockRequest(block=wanted)
    update.update_mask.paths.append("value")
    with pytest.raises(InvalidArgument) as caught:
        await world.peer.unary(world.agents.UpdateBlock, update, caller=ANN)
    assert caught.value.reason == type_pb2.ERROR_REASON_BLOCK_OVER_LIMIT
    update.block.id = agent.blocks[1].id
    with pytest.raises(FailedPrecondition) as refused:
        await world.peer.unary(world.agents.UpdateBlock, update, caller=ANN)
    assert refused.value.reason == type_pb2.ERROR_REASON_BLOCK_READ_ONLY


async def test_the_same_request_runs_once_and_answers_the_same(world: World, model: ScriptedModel) -> None:
    agent = await world.new_agent()
    first = await world.send(agent, "only once", request_id="r1")
    again = await world.send(agent, "only once", request_id="r1")
    journalled = [event for event in first if event.sequence]
    assert [event.SerializeToString() for event in again] == [event.SerializeToString() for event in journalled]
    assert len(model.requests) == 1
    assert len(await world.messages(agent)) == 2
    with pytest.raises(FailedPrecondition) as caught:
        await world.send(agent, "something else", request_id="r1")
    assert caught.value.reason == type_pb2.ERROR_REASON_REQUEST_ID_REUSED


async def test_turns_sent_at_once_run_in_order_and_none_is_lost(world: World) -> None:
    agent = await world.new_agent()
    await asyncio.gather(*(world.send(agent, f"number {i}") for i in range(8)))
    said = await world.messages(agent)
    assert [m.sequence for m in said] == list(range(1, 17))
    for asked, answered in zip(said[::2], said[1::2], strict=True):
        assert (asked.role, answered.text) == (type_pb2.ROLE_USER, f"ok: {asked.text}")


async def test_edits_of_one_shared_block_by_many_agents_all_survive(world: World) -> None:
    block = pb.CreateBlockRequest(block=pb.Block(label="shared", value="start"))
    shared = (await world.peer.unary(world.agents.CreateBlock, block, caller=ANN)).block
    request = pb.CreateAgentRequest(agent=pb.Agent(), block_ids=[shared.id], include_base_tools=True)
    made = [await world.peer.unary(world.agents.CreateAgent, request, caller=ANN) for _ in range(8)]
    calls = [json.dumps({"label": "shared", "new_string": f"line {i}"}) for i in range(8)]
    await asyncio.gather(
        *(world.send(m.agent, f"[[call:memory_insert {call}]] x") for m, call in zip(made, calls, strict=True))
    )
    value = (await world.get_agent(made[0].agent.id)).blocks[0].value
    assert sorted(value.splitlines()) == sorted(["start", *(f"line {i}" for i in range(8))])


@pytest.mark.parametrize(
    ("directive", "reason"),
    [
        ("[[status:500]]", type_pb2.ERROR_REASON_MODEL_UNAVAILABLE),
        ("[[status:401]]", type_pb2.ERROR_REASON_MODEL_REFUSED),
        ("[[garbage]]", type_pb2.ERROR_REASON_MODEL_GARBAGE),
        ("[[cut]]", type_pb2.ERROR_REASON_MODEL_UNAVAILABLE),
    ],
)
async def test_a_failing_model_ends_the_turn_with_its_reason_and_loses_nothing(
    world: World, directive: str, reason: type_pb2.ErrorReason.ValueType
) -> None:
    agent = await world.new_agent()
    events = await world.send(agent, f"keep this {directive}")
    assert events[-1].done.turn.state == turn_pb2.TURN_STATE_FAILED
    assert events[-1].done.turn.error.reason == reason
    assert [m.text for m in await world.messages(agent)] == [f"keep this {directive}"]
    assert (await world.send(agent, "and now"))[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED


async def test_a_model_that_loops_on_a_tool_is_stopped_at_max_steps(world: World) -> None:
    agent = await world.new_agent()
    events = await world.send(agent, '[[loop:conversation_search {"query": "x"}]]', max_steps=3)
    assert events[-1].done.turn.stop_reason == turn_pb2.STOP_REASON_MAX_STEPS
    assert events[-1].done.turn.usage.step_count == 3


async def test_cancel_stops_a_turn_that_waits_for_its_model(world: World, model: ScriptedModel) -> None:
    agent = await world.new_agent()
    running_turn = asyncio.create_task(world.send(agent, "[[wait]] never mind"))
    assert await asyncio.to_thread(model.waiting.wait, 20)
    listed = await world.peer.unary(world.turns.ListTurns, turn_pb2.ListTurnsRequest(agent_id=agent.id), caller=ANN)
    cancel = turn_pb2.CancelTurnRequest(turn_id=listed.turns[0].id)
    cancelled = await world.peer.unary(world.turns.CancelTurn, cancel, caller=ANN)
    assert cancelled.turn.state == turn_pb2.TURN_STATE_CANCELLED
    assert (await running_turn)[-1].done.turn.stop_reason == turn_pb2.STOP_REASON_CANCELLED
    assert [m.text for m in await world.messages(agent)] == ["[[wait]] never mind"]


async def test_a_reader_that_comes_back_gets_every_event_once(world: World) -> None:
    agent = await world.new_agent()
    events = await world.send(agent, '[[call:conversation_search {"query": "x"}]] twice')
    turn_id = events[0].turn_id
    for after in range(len(events) + 1):
        request = turn_pb2.ResumeTurnRequest(turn_id=turn_id, after_sequence=after)
        resumed = [r.event async for r in world.peer.stream(world.turns.ResumeTurn, request, caller=ANN)]
        assert [event.sequence for event in resumed] == list(range(after + 1, len(events) + 1))


async def test_the_request_begins_with_the_same_bytes_from_turn_to_turn(world: World, model: ScriptedModel) -> None:
    agent = await world.new_agent(human="Name: Ann.")
    for text in ("one", "two", "three"):
        await world.send(agent, text)
    first, second, third = (request["messages"] for request in model.requests)
    assert second[0] == first[0]
    assert third[: len(second) - 2] == second[: len(second) - 2]


async def test_a_long_conversation_is_cut_to_the_window_by_whole_turns(world: World, model: ScriptedModel) -> None:
    request = pb.CreateAgentRequest(agent=pb.Agent(model=pb.ModelSettings(context_window=4000)))
    agent = (await world.peer.unary(world.agents.CreateAgent, request, caller=ANN)).agent
    for i in range(12):
        await world.send(agent, f"turn {i} " + "x" * 2000)
    last = model.requests[-1]["messages"]
    assert sum(len(message["content"]) for message in last) < 4 * 4000
    assert next(message["role"] for message in last if message["role"] != "system") == "user"
    assert len(await world.messages(agent)) == 24


async def test_a_stranger_sees_nothing_and_learns_nothing(world: World) -> None:
    agent = await world.new_agent(human="secret")
    events = await world.send(agent, "hello")
    missing = {agent.id: "agent-00000000-0000-0000-0000-000000000000", agent.blocks[0].id: "block-0", "run": "run-0"}
    missing[events[0].turn_id] = "run-00000000-0000-0000-0000-000000000000"

    async def answer(method: object, request: object) -> str:
        with pytest.raises(NotFound) as caught:
            await world.peer.unary(method, request, caller=BOB)  # type: ignore[arg-type]
        return caught.value.message

    for make in (
        lambda i: (world.agents.GetAgent, pb.GetAgentRequest(agent_id=i)),
        lambda i: (world.agents.DeleteAgent, pb.DeleteAgentRequest(agent_id=i)),
        lambda i: (world.agents.PreviewContext, pb.PreviewContextRequest(agent_id=i)),
    ):
        foreign, none = await answer(*make(agent.id)), await answer(*make(missing[agent.id]))
        assert foreign.replace(agent.id, "") == none.replace(missing[agent.id], "")
    await answer(world.agents.GetBlock, pb.GetBlockRequest(block_id=agent.blocks[0].id))
    await answer(world.turns.GetTurn, turn_pb2.GetTurnRequest(turn_id=events[0].turn_id))
    await answer(world.turns.CancelTurn, turn_pb2.CancelTurnRequest(turn_id=events[0].turn_id))
    with pytest.raises(NotFound):
        await world.send(agent, "let me in", caller=BOB)
    assert not (await world.peer.unary(world.agents.ListAgents, pb.ListAgentsRequest(), caller=BOB)).agents
    assert not (await world.peer.unary(world.agents.ListBlocks, pb.ListBlocksRequest(), caller=BOB)).blocks
    assert await world.messages(agent, caller=BOB) == []


async def test_a_deleted_agent_leaves_nothing_in_any_tier(world: World) -> None:
    agent = await world.new_agent(human="x")
    await world.send(agent, '[[call:archival_memory_insert {"content": "a fact"}]] save')
    await world.peer.unary(world.agents.DeleteAgent, pb.DeleteAgentRequest(agent_id=agent.id), caller=ANN)
    assert await world.messages(agent) == []
    with pytest.raises(TriptychError):
        await world.get_agent(agent.id)
    assert not (await world.peer.unary(world.agents.ListBlocks, pb.ListBlocksRequest(), caller=ANN)).blocks


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
async def test_metadata_that_no_json_can_hold_is_refused_and_spoils_no_list(world: World, number: float) -> None:
    wanted = pb.Agent(name="poison")
    wanted.metadata.update({"a": number})
    with pytest.raises(InvalidArgument, match="metadata"):
        await world.peer.unary(world.agents.CreateAgent, pb.CreateAgentRequest(agent=wanted), caller=ANN)
    block = pb.Block(label="poison", metadata=wanted.metadata)
    with pytest.raises(InvalidArgument, match="metadata"):
        await world.peer.unary(world.agents.CreateBlock, pb.CreateBlockRequest(block=block), caller=ANN)
    assert (await world.peer.unary(world.agents.CountAgents, pb.CountAgentsRequest(), caller=ANN)).count == 0


async def test_a_turn_whose_commit_failed_goes_on_when_the_store_is_back(
    world: World, model: ScriptedModel, tmp_path: Path
) -> None:
    agent = await world.new_agent(human="x")
    sending = asyncio.create_task(world.send(agent, "[[wait]] hello"))
    await asyncio.to_thread(model.waiting.wait, 20)
    with closing(sqlite3.connect(tmp_path / "agent.db", isolation_level=None)) as store:
        store.execute("CREATE TRIGGER full BEFORE INSERT ON journal BEGIN SELECT RAISE(ABORT, 'no room'); END")
        model.release()
        begun = await sending
        assert not begun[-1].HasField("done")
        store.execute("DROP TRIGGER full")
    resume = turn_pb2.ResumeTurnRequest(turn_id=begun[0].turn_id)

    async def resumed() -> list[turn_pb2.TurnEvent]:
        try:
            return [r.event async for r in world.peer.stream(world.turns.ResumeTurn, resume, caller=ANN)]
        except Unavailable:  # until it is taken up again
            return []

    events = await eventually(resumed, bool)
    assert events[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED
    said = [message.role for message in await world.messages(agent)]
    assert said == [type_pb2.ROLE_USER, type_pb2.ROLE_ASSISTANT]
