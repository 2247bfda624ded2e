"""Two replicas of agent_service on one PostgreSQL: a conversation is run by one of them, and served by both."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from agent_service.stores import replicas
from servicekit.channel import Peer
from servicekit.sql.locks import number
from tests.support.keys import ANN, BOB, signer
from tests.support.processes import Service, running
from tests.support.recall import eventually
from tests.support.scripted_model import ScriptedModel
from tests.support.stack import environment
from triptych.agent.v1 import agent_pb2 as pb
from triptych.agent.v1 import turn_pb2
from triptych.agent.v1.agent_pb2_grpc import AgentServiceStub
from triptych.agent.v1.turn_pb2_grpc import TurnServiceStub
from triptych.errors import NotFound, TriptychError
from triptych.recall.v1 import recall_pb2
from triptych.recall.v1.recall_pb2_grpc import RecallServiceStub

_SECONDS = 40
Events = list[turn_pb2.TurnEvent]


class Replica:
    """One of them, and a connection to it alone."""

    def __init__(self, service: Service, keys: Path) -> None:
        self.service = service
        self.peer = Peer("agent_service", service.grpc, signer(keys))
        self.agents, self.turns = AgentServiceStub(self.peer.channel), TurnServiceStub(self.peer.channel)

    async def new_agent(self, *, block_ids: Sequence[str] = (), rules: Sequence[pb.ToolRule] = ()) -> pb.Agent:
        wanted = pb.Agent(blocks=[] if block_ids else [pb.Block(label="human")], tool_rules=rules)
        request = pb.CreateAgentRequest(agent=wanted, include_base_tools=True, block_ids=block_ids)
        return (await self.peer.unary(self.agents.CreateAgent, request, caller=ANN)).agent

    async def get_agent(self, agent_id: str) -> pb.Agent:
        return (await self.peer.unary(self.agents.GetAgent, pb.GetAgentRequest(agent_id=agent_id), caller=ANN)).agent

    async def send(self, agent: pb.Agent, words: str) -> Events:
        """Sends it until it is over, as every caller of ours does: its `request_id` makes that safe."""
        request = turn_pb2.StartTurnRequest(
            agent_id=agent.id, request_id=words, messages=[turn_pb2.InputMessage(text=words)]
        )
        return await until_over(lambda: self.peer.stream(self.turns.StartTurn, request, caller=ANN, seconds=_SECONDS))

    async def begin(self, agent: pb.Agent, words: str) -> str:
        """Starts a turn and leaves when it is acknowledged; gives its id."""
        request = turn_pb2.StartTurnRequest(
            agent_id=agent.id, request_id=words, messages=[turn_pb2.InputMessage(text=words)]
        )
        async for response in self.peer.stream(self.turns.StartTurn, request, caller=ANN):
            return response.event.turn_id
        raise AssertionError("the turn was not acknowledged")

    async def resume(self, turn_id: str) -> Events:
        request = turn_pb2.ResumeTurnRequest(turn_id=turn_id)
        return await until_over(lambda: self.peer.stream(self.turns.ResumeTurn, request, caller=ANN, seconds=_SECONDS))


async def until_over(stream: Any) -> Events:
    """The events of the first stream that gets to the turn's end or to its wait."""
    async with asyncio.timeout(_SECONDS):
        while True:
            events: Events = []
            try:
                async for response in stream():
                    events.append(response.event)
                if events and (events[-1].HasField("done") or events[-1].HasField("approval_request")):
                    return events
            except TriptychError as error:
                if isinstance(error, NotFound):
                    raise
            await asyncio.sleep(0.05)


class World:
    """`one` and `other`: the replicas."""

    def __init__(self, one: Replica, other: Replica, recall: Peer) -> None:
        self.one, self.other, self.recall = one, other, recall

    async def said(self, agent: pb.Agent) -> list[str]:
        request = recall_pb2.ListMessagesRequest(conversation_id=agent.default_conversation_id, page_size=1000)
        stub = RecallServiceStub(self.recall.channel)
        return [m.text for m in (await self.recall.unary(stub.ListMessages, request, caller=ANN)).messages]


@pytest.fixture
def settings(tmp_path: Path, model: ScriptedModel, postgres_dsn: str) -> dict[str, str]:
    return {**environment(tmp_path, model.url), "TRIPTYCH_AGENT_DSN": postgres_dsn}


@pytest.fixture
def services(settings: dict[str, str]) -> Iterator[list[Service]]:
    with ExitStack() as stack:
        for name in ("recall_service", "archival_service"):
            stack.enter_context(running(name, settings))
        yield [
            stack.enter_context(running("agent_service", {**settings, "TRIPTYCH_AGENT_LISTEN": "127.0.0.1:0"}))
            for _ in range(2)
        ]


@pytest.fixture
async def world(tmp_path: Path, settings: dict[str, str], services: list[Service]) -> AsyncIterator[World]:
    keys = tmp_path / "keys"
    one, other = (Replica(service, keys) for service in services)
    recall = Peer("recall_service", settings["TRIPTYCH_RECALL_ADDRESS"], signer(keys))
    yield World(one, other, recall)
    for peer in (one.peer, other.peer, recall):
        await peer.close()


def insert(line: str) -> str:
    return f"[[call:memory_insert {json.dumps({'label': 'human', 'new_string': line})}]]"


async def test_turns_sent_to_both_run_one_after_the_other_and_none_is_lost(world: World) -> None:
    agent = await world.one.new_agent()
    both = [world.one, world.other] * 6
    turns = await asyncio.gather(*(each.send(agent, f"{insert(f'line-{i}.')} {i}") for i, each in enumerate(both)))
    assert all(events[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED for events in turns)
    assert all([event.sequence for event in events] == list(range(1, len(events) + 1)) for events in turns)
    lines = (await world.other.get_agent(agent.id)).blocks[0].value
    assert all(lines.count(f"line-{i}.") == 1 for i in range(len(turns)))
    said = await world.said(agent)
    asked = [index for index, words in enumerate(said) if "[[call:" in words]
    assert len(asked) == len(turns)
    # Between a question and its answer comes what belongs to that turn, and nothing else.
    assert [said[index + 3] for index in asked] == [f"ok: {said[index].split()[-1]}" for index in asked]


async def test_one_request_sent_to_both_at_once_is_one_turn(world: World) -> None:
    agent = await world.one.new_agent()
    both = await asyncio.gather(*(each.send(agent, insert("once.")) for each in (world.one, world.other)))
    assert both[0][0].turn_id == both[1][0].turn_id
    assert (await world.one.get_agent(agent.id)).blocks[0].value.count("once.") == 1


async def test_agents_that_share_a_block_lose_no_edit_on_two_replicas(world: World) -> None:
    request = pb.CreateBlockRequest(block=pb.Block(label="human"))
    block = (await world.one.peer.unary(world.one.agents.CreateBlock, request, caller=ANN)).block
    agents = [await world.one.new_agent(block_ids=[block.id]) for _ in range(8)]
    both = [world.one, world.other] * 4
    await asyncio.gather(
        *(each.send(agent, insert(f"line-{i}.")) for i, (each, agent) in enumerate(zip(both, agents, strict=True)))
    )
    lines = (await world.one.get_agent(agents[0].id)).blocks[0].value
    assert all(lines.count(f"line-{i}.") == 1 for i in range(len(agents)))


async def test_a_turn_is_followed_answered_and_cancelled_by_way_of_the_other(
    world: World, model: ScriptedModel
) -> None:
    rule = pb.ToolRule(type=pb.TOOL_RULE_TYPE_REQUIRES_APPROVAL, tool_name="memory_insert")
    agent = await world.one.new_agent(rules=[rule])
    turn = (await world.one.send(agent, f"{insert('approved.')} please"))[-1].approval_request.turn
    answers = turn_pb2.ContinueTurnRequest(
        turn_id=turn.id,
        request_id="yes",
        approvals=[turn_pb2.Approval(tool_call_id=turn.pending_calls[0].call.id, approve=True)],
    )
    peer = world.other.peer
    rest = [r.event async for r in peer.stream(world.other.turns.ContinueTurn, answers, caller=ANN)]
    assert rest[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED
    assert "approved." in (await world.other.get_agent(agent.id)).blocks[0].value
    turn_id = await world.one.begin(agent, "[[wait]]")
    await asyncio.to_thread(model.waiting.wait, 20)
    following = asyncio.create_task(world.other.resume(turn_id))
    cancel = turn_pb2.CancelTurnRequest(turn_id=turn_id)
    cancelled = (await peer.unary(world.other.turns.CancelTurn, cancel, caller=ANN)).turn
    assert cancelled.state == turn_pb2.TURN_STATE_CANCELLED
    assert (await following)[-1].done.turn.state == turn_pb2.TURN_STATE_CANCELLED


async def test_another_users_turn_is_not_found_by_way_of_the_other_either(world: World) -> None:
    agent = await world.one.new_agent()
    turn_id = (await world.one.send(agent, "hello"))[0].turn_id
    for replica in (world.one, world.other):
        resume = turn_pb2.ResumeTurnRequest(turn_id=turn_id)
        with pytest.raises(NotFound):
            [event async for event in replica.peer.stream(replica.turns.ResumeTurn, resume, caller=BOB)]


async def test_a_conversation_is_emptied_and_its_agent_deleted_by_way_of_the_other(
    world: World, model: ScriptedModel
) -> None:
    agent = await world.one.new_agent()
    await world.one.send(agent, "my name is Ann")
    peer, agents = world.other.peer, world.other.agents
    await peer.unary(agents.ResetConversation, pb.ResetConversationRequest(agent_id=agent.id), caller=ANN)
    await world.one.send(agent, "who am I")
    assert "my name is Ann" not in json.dumps(model.requests[-1]["messages"])
    turn_id = await world.one.begin(agent, "[[wait]]")
    await asyncio.to_thread(model.waiting.wait, 20)
    await peer.unary(agents.DeleteAgent, pb.DeleteAgentRequest(agent_id=agent.id), caller=ANN)
    with pytest.raises(NotFound):
        await world.one.resume(turn_id)


def cut_off(settings: dict[str, str], agent: pb.Agent) -> None:
    """Ends the session by which the owner of the conversation is seen to be there; the process itself lives."""
    engine = create_engine(settings["TRIPTYCH_AGENT_DSN"].replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        owned = text("SELECT lease_owner FROM conversations WHERE agent_id = :agent")
        owner = connection.execute(owned, {"agent": agent.id}).scalar_one()
        query = text(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory'"
            " AND (classid::bigint << 32) | objid::bigint = :lock"
        )
        assert connection.execute(query, {"lock": number(replicas.lock_name(owner))}).scalars().all() == [True]
    engine.dispose()


async def settled(replica: Replica) -> None:
    """Has it note that recall has everything of its last turn: that goes with its next write."""
    await replica.send(await replica.new_agent(), "hello")


async def test_one_that_was_taken_for_gone_sees_what_was_said_without_it(
    world: World, settings: dict[str, str], model: ScriptedModel
) -> None:
    agent = await world.one.new_agent()
    await world.one.send(agent, "said to one")
    await settled(world.one)
    cut_off(settings, agent)
    await world.other.send(agent, "said to the other")
    await settled(world.other)
    cut_off(settings, agent)
    await world.one.send(agent, "said to one again")
    window = [message["content"] for message in model.requests[-1]["messages"]]
    assert [words for words in window if words and words.endswith(("to one", "to the other", "again"))][-5:] == [
        *("said to one", "ok: said to one"),
        *("said to the other", "ok: said to the other"),
        "said to one again",
    ]


async def test_what_a_killed_replica_ran_is_finished_by_the_other_in_order(world: World, model: ScriptedModel) -> None:
    agent = await world.one.new_agent()
    await world.one.send(agent, "before")
    running_turn = await world.one.begin(agent, f"{insert('first.')} [[wait:1]]")
    await asyncio.to_thread(model.waiting.wait, 20)
    waiting_turn = await world.other.begin(agent, insert("second."))
    world.one.service.kill()
    model.release()
    later = await world.other.send(agent, insert("third."))
    turns = [await world.other.resume(turn_id) for turn_id in (running_turn, waiting_turn)]
    assert all(e[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED for e in (*turns, later))
    value = (await world.other.get_agent(agent.id)).blocks[0].value
    assert [value.count(word) for word in ("first.", "second.", "third.")] == [1, 1, 1]
    assert value.index("first.") < value.index("second.") < value.index("third.")

    async def heard() -> list[int]:
        said = await world.said(agent)
        return [sum(word in words for words in said if "[[call:" in words) for word in ("first.", "second.", "third.")]

    await eventually(heard, [1, 1, 1].__eq__)
