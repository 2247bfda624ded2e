"""A conversation in its window, over real services: pressure, compaction, overflow; and every request again."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from servicekit.channel import Peer
from tests.support.keys import ANN, BOB
from tests.support.scripted_model import ScriptedModel, asks_for_summary
from tests.support.stack import Stack, running
from triptych.agent.v1 import agent_pb2 as pb
from triptych.agent.v1 import step_pb2, turn_pb2
from triptych.agent.v1.agent_pb2_grpc import AgentServiceStub
from triptych.agent.v1.step_pb2_grpc import StepServiceStub
from triptych.agent.v1.turn_pb2_grpc import TurnServiceStub
from triptych.errors import FailedPrecondition, NotFound, Unavailable
from triptych.recall.v1 import recall_pb2
from triptych.recall.v1.recall_pb2_grpc import RecallServiceStub
from triptych.type.v1 import type_pb2

SERVICES = ("recall_service", "archival_service", "agent_service")
LONG = "x" * 2_000


class World:
    """The services, and short ways to use them as Ann."""

    def __init__(self, stack: Stack) -> None:
        self.peer: Peer = stack.peer("agent_service")
        self.recall_peer: Peer = stack.peer("recall_service")
        self.agents = AgentServiceStub(self.peer.channel)
        self.steps = StepServiceStub(self.peer.channel)
        self.turns = TurnServiceStub(self.peer.channel)
        self.recall = RecallServiceStub(self.recall_peer.channel)

    async def new_agent(self, window: int = 4_000, *, tools: bool = False, **settings: object) -> pb.Agent:
        agent = pb.Agent(
            system="You are a test.",
            model=pb.ModelSettings(context_window=window),
            blocks=[pb.Block(label="human", value="Name: Ann.")],
            compaction=pb.CompactionSettings(**settings),  # type: ignore[arg-type]
        )
        request = pb.CreateAgentRequest(agent=agent, include_base_tools=tools)
        return (await self.peer.unary(self.agents.CreateAgent, request, caller=ANN)).agent

    async def send(self, agent: pb.Agent, text: str) -> list[turn_pb2.TurnEvent]:
        request = turn_pb2.StartTurnRequest(
            agent_id=agent.id, request_id=text[:100], messages=[turn_pb2.InputMessage(text=text)]
        )
        return [r.event async for r in self.peer.stream(self.turns.StartTurn, request, caller=ANN)]

    async def fill(self, agent: pb.Agent, turns: int, text: str = LONG) -> list[turn_pb2.TurnEvent]:
        """Whole events of so many turns, the words of each its own."""
        return [event for number in range(turns) for event in await self.send(agent, f"turn {number} {text}")]

    async def messages(self, agent: pb.Agent) -> list[recall_pb2.Message]:
        request = recall_pb2.ListMessagesRequest(
            agent_id=agent.id, conversation_id=agent.default_conversation_id, page_size=1000
        )
        return list((await self.recall_peer.unary(self.recall.ListMessages, request, caller=ANN)).messages)

    async def list_steps(self, agent: pb.Agent) -> list[step_pb2.Step]:
        """Oldest first."""
        request = step_pb2.ListStepsRequest(agent_id=agent.id, order=type_pb2.SORT_ORDER_ASCENDING, page_size=1000)
        return list((await self.peer.unary(self.steps.ListSteps, request, caller=ANN)).steps)

    async def replay(self, step_id: str) -> step_pb2.GetStepContextResponse:
        request = step_pb2.GetStepContextRequest(step_id=step_id)
        return await self.peer.unary(self.steps.GetStepContext, request, caller=ANN)

    async def conversation(self, agent: pb.Agent) -> pb.Conversation:
        request = pb.GetConversationRequest(conversation_id=agent.default_conversation_id)
        return (await self.peer.unary(self.agents.GetConversation, request, caller=ANN)).conversation


@pytest.fixture
async def world(tmp_path: Path, model: ScriptedModel) -> AsyncIterator[World]:
    async with running(tmp_path, *SERVICES, model_url=model.url) as stack:
        yield World(stack)


def compactions(events: list[turn_pb2.TurnEvent]) -> list[pb.Compaction]:
    return [event.compaction for event in events if event.HasField("compaction")]


def contents(request: dict[str, list[dict[str, str]]]) -> list[str]:
    return [str(message["content"]) for message in request["messages"]]


def notices(request: dict[str, list[dict[str, str]]]) -> int:
    return sum(text.startswith("<memory_pressure>") for text in contents(request))


async def test_what_leaves_the_window_is_in_the_summary_behind_the_system_prompt(
    world: World, model: ScriptedModel
) -> None:
    agent = await world.new_agent()
    events = await world.fill(agent, 10)
    first, *later = compactions(events)
    assert later, "it was compacted again and again"
    assert first.summary_message.text == "what was said before"
    assert first.tokens_after < first.tokens_before <= 4_000
    assert not first.without_model
    asked = [request for request in model.requests if not asks_for_summary(request)]
    assert all(sum(len(text) for text in contents(request)) < 4 * 4_000 for request in asked)
    assert "<conversation_summary>\nwhat was said before\n" in contents(asked[-1])[1]
    summaries = [request for request in model.requests if asks_for_summary(request)]
    assert "turn 0 " in contents(summaries[0])[1]
    assert "<summary_before>\nwhat was said before\n" in contents(summaries[1])[1]
    assert len(await world.messages(agent)) == 20
    conversation = await world.conversation(agent)
    assert conversation.summary == "what was said before"
    assert f"The first {conversation.summary_through} messages" in contents(asked[-1])[1]


async def test_a_summarising_model_that_is_away_has_the_agents_own_stand_in(world: World, model: ScriptedModel) -> None:
    model.lacks = {"summariser"}
    agent = await world.new_agent(model="summariser")
    first, *_ = compactions(await world.fill(agent, 8))
    assert (first.without_model, first.summary_message.text) == (False, "what was said before")


async def test_requests_begin_as_the_one_before_until_the_summary_changes(world: World, model: ScriptedModel) -> None:
    agent = await world.new_agent()
    await world.fill(agent, 10)
    asked = [request["messages"] for request in model.requests if not asks_for_summary(request)]
    grown = [later[: len(before)] == before for before, later in pairwise(asked)]
    assert grown.count(False) == sum(asks_for_summary(request) for request in model.requests)
    assert grown.count(True) > grown.count(False)


async def test_a_summary_that_no_model_writes_is_a_note_and_the_turn_goes_on(
    world: World, model: ScriptedModel
) -> None:
    model.summary = ""
    agent = await world.new_agent()
    events = await world.fill(agent, 8)
    assert compactions(events)[0].without_model
    assert all(e.done.turn.state == turn_pb2.TURN_STATE_COMPLETED for e in events if e.HasField("done"))
    assert "[Not summarised: " in (await world.conversation(agent)).summary


async def test_memory_pressure_is_told_once_before_turns_leave(world: World, model: ScriptedModel) -> None:
    agent = await world.new_agent(6_000, tools=True)
    await world.fill(agent, 7, "y" * 800)
    asked = [request for request in model.requests if not asks_for_summary(request)]
    told = [notices(request) for request in asked]
    assert 1 in told
    before_compaction = told[: next((i for i, request in enumerate(model.requests) if asks_for_summary(request)), None)]
    assert before_compaction == sorted(before_compaction), "once told, it stays where it was told"
    assert max(told) == 1
    preview = pb.PreviewContextRequest(agent_id=agent.id)
    parts = (await world.peer.unary(world.agents.PreviewContext, preview, caller=ANN)).tokens
    assert min(parts.core_memory, parts.system_prompt, parts.tools, parts.messages, parts.memory_facts) > 0


async def test_an_endpoint_that_takes_less_than_configured_is_met_by_compaction_and_remembered(
    world: World, model: ScriptedModel
) -> None:
    agent = await world.new_agent(100_000)
    model.context_window = 3_000
    events = await world.fill(agent, 8)
    assert all(e.done.turn.state == turn_pb2.TURN_STATE_COMPLETED for e in events if e.HasField("done"))
    assert compactions(events)
    refused = len(model.requests) - len(await world.list_steps(agent))
    refused -= sum(asks_for_summary(request) for request in model.requests)
    assert refused == 1
    assert (await world.list_steps(agent))[-1].context_window == 3_000


async def test_a_summarising_model_that_takes_less_is_asked_again_for_less(world: World, model: ScriptedModel) -> None:
    agent = await world.new_agent(100_000, model="scripted-small")
    await world.fill(agent, 4)
    model.context_window = 1_500
    request = pb.CompactConversationRequest(agent_id=agent.id, mode=pb.COMPACTION_MODE_ALL, request_id="c")
    done = await world.peer.unary(world.agents.CompactConversation, request, caller=ANN)
    assert (done.compaction.evicted_messages, done.compaction.without_model) == (8, False)
    assert [r["model"] for r in model.requests if asks_for_summary(r)] == ["scripted-small"] * 2


async def test_what_can_not_fit_at_all_is_a_clear_error_and_the_conversation_goes_on(
    world: World, model: ScriptedModel
) -> None:
    agent = await world.new_agent()
    model.context_window = 10
    done = (await world.send(agent, "hello"))[-1].done.turn
    assert done.error.reason == type_pb2.ERROR_REASON_CONTEXT_OVERFLOW
    model.context_window = 0
    assert (await world.send(agent, "again"))[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED


async def test_a_turn_larger_than_the_window_is_shortened_in_what_is_sent_and_whole_in_recall(
    world: World, model: ScriptedModel
) -> None:
    agent = await world.new_agent(8_000, tools=True)
    for number in range(4):
        fact = json.dumps({"content": f"fact {number} " + "z" * 9_000})
        await world.send(agent, f"[[call:archival_memory_insert {fact}]] save {number}")
    search = json.dumps({"query": "fact", "top_k": 5})
    text = f"[[call:archival_memory_search {search}]]" * 3 + " what do you know?"
    events = await world.send(agent, text)
    assert events[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED
    asked = [request for request in model.requests if not asks_for_summary(request)]
    assert all(len(json.dumps(request["messages"])) < 4 * 8_000 for request in asked)
    assert any("not shown" in text for text in contents(asked[-1]))
    results = [m.text for m in await world.messages(agent) if m.HasField("tool_return")]
    assert max(map(len, results)) > 30_000
    await assert_replays(world, agent, model)


async def assert_replays(world: World, agent: pb.Agent, model: ScriptedModel) -> None:
    """That each step's request can be had again, byte for byte."""
    sent = [body for body in model.bodies if not asks_for_summary(json.loads(body))]
    steps = await world.list_steps(agent)
    assert len(steps) == len(sent)
    for step, body in zip(steps, sent, strict=True):
        again = await world.replay(step.id)
        assert again.request_json.encode() == body, (step.number, step.turn_id)
        assert not again.updated_message_ids
        assert not again.missing_messages


async def test_every_request_can_be_had_again_byte_for_byte_also_after_a_restart(
    tmp_path: Path, model: ScriptedModel
) -> None:
    async with running(tmp_path, *SERVICES, model_url=model.url) as stack:
        world = World(stack)
        agent = await world.new_agent(6_000, tools=True)
        await world.fill(agent, 8, "[[say:]]" + "é" * 500)
        edit = json.dumps({"label": "human", "new_string": "Lives in Oslo."})
        await world.send(agent, f"[[call:memory_insert {edit}]] [[call:nothing {{}}]] remember")
        await world.fill(agent, 2, "ü" * 2_000)
        await assert_replays(world, agent, model)
        assert any(notices(request) for request in model.requests)
        assert any(asks_for_summary(request) for request in model.requests)
    async with running(tmp_path, *SERVICES, model_url=model.url) as stack:
        world = World(stack)
        await world.send(agent, "after the restart")
        await assert_replays(world, agent, model)


async def test_a_step_says_what_it_cost(tmp_path: Path, model: ScriptedModel) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps({"scripted-1": {"prompt": 2.0, "completion": 10.0}}))
    more = {"TRIPTYCH_MODEL_PRICES": str(prices)}
    async with running(tmp_path, *SERVICES, model_url=model.url, more=more) as stack:
        world = World(stack)
        agent = await world.new_agent()
        await world.send(agent, "hello")
        (step,) = await world.list_steps(agent)
        assert (step.number, step.model, step.finish_reason) == (1, "scripted-1", "stop")
        assert step.cost == pytest.approx((2 * step.usage.prompt_tokens + 10 * step.usage.completion_tokens) / 1e6)
        assert 0 < step.first_token_milliseconds <= step.total_milliseconds
        assert step.tokens.total == pytest.approx(step.usage.prompt_tokens, rel=0.3)
        got = await world.peer.unary(world.steps.GetStep, step_pb2.GetStepRequest(step_id=step.id), caller=ANN)
        assert got.step == step


async def test_a_replay_says_which_messages_have_changed_since_or_are_gone(world: World) -> None:
    agent = await world.new_agent()
    await world.send(agent, "first")
    await world.send(agent, "second")
    first = (await world.messages(agent))[0]
    update = recall_pb2.UpdateMessageRequest(message_id=first.id, text="changed", request_id="u")
    await world.recall_peer.unary(world.recall.UpdateMessage, update, caller=ANN)
    again = await world.replay((await world.list_steps(agent))[-1].id)
    assert list(again.updated_message_ids) == [first.id]
    assert '"changed"' in again.request_json
    purge = recall_pb2.PurgeMessagesRequest(agent_id=agent.id, request_id="p")
    await world.recall_peer.unary(world.recall.PurgeMessages, purge, caller=ANN)
    again = await world.replay((await world.list_steps(agent))[-1].id)
    assert again.missing_messages == 2


async def test_steps_are_their_owners_alone_and_go_with_the_agent(world: World) -> None:
    agent = await world.new_agent()
    await world.send(agent, "hello")
    (step,) = await world.list_steps(agent)
    for method, request in (
        (world.steps.GetStep, step_pb2.GetStepRequest(step_id=step.id)),
        (world.steps.GetStepContext, step_pb2.GetStepContextRequest(step_id=step.id)),
    ):
        with pytest.raises(NotFound):
            await world.peer.unary(method, request, caller=BOB)
    listed = step_pb2.ListStepsRequest(turn_id=step.turn_id)
    assert not (await world.peer.unary(world.steps.ListSteps, listed, caller=BOB)).steps
    await world.peer.unary(world.agents.DeleteAgent, pb.DeleteAgentRequest(agent_id=agent.id), caller=ANN)
    with pytest.raises(NotFound):
        await world.replay(step.id)


async def test_a_conversation_is_compacted_on_request_once_for_a_request_id(world: World, model: ScriptedModel) -> None:
    agent = await world.new_agent(100_000)
    await world.fill(agent, 4)
    request = pb.CompactConversationRequest(agent_id=agent.id, mode=pb.COMPACTION_MODE_ALL, request_id="c")
    done = await world.peer.unary(world.agents.CompactConversation, request, caller=ANN)
    assert (done.compaction.evicted_messages, done.conversation.summary_through) == (8, 8)
    asked = len(model.requests)
    assert await world.peer.unary(world.agents.CompactConversation, request, caller=ANN) == done
    assert len(model.requests) == asked
    await world.send(agent, "and now?")
    assert [text for text in contents(model.requests[-1]) if "turn 0" in text] == []
    assert "what was said before" in contents(model.requests[-1])[1]
    with pytest.raises(NotFound):
        await world.peer.unary(world.agents.CompactConversation, request, caller=BOB)


async def test_a_compaction_on_request_that_fails_changes_nothing_and_says_so(
    world: World, model: ScriptedModel
) -> None:
    agent = await world.new_agent(100_000)
    await world.fill(agent, 2)
    model.summary = ""
    request = pb.CompactConversationRequest(agent_id=agent.id, request_id="c")
    with pytest.raises((FailedPrecondition, Unavailable), match="as scripted"):
        await world.peer.unary(world.agents.CompactConversation, request, caller=ANN)
    assert (await world.conversation(agent)).summary_through == 0


async def test_a_reset_conversation_shows_nothing_of_before_and_recall_keeps_it(
    world: World, model: ScriptedModel
) -> None:
    agent = await world.new_agent(100_000)
    await world.fill(agent, 2)
    request = pb.ResetConversationRequest(agent_id=agent.id, request_id="r")
    await world.peer.unary(world.agents.ResetConversation, request, caller=ANN)
    await world.send(agent, "anew")
    assert not [text for text in contents(model.requests[-1]) if "turn " in text]
    assert len(await world.messages(agent)) == 6
    await world.peer.unary(world.agents.ResetConversation, request, caller=ANN)
    await world.send(agent, "again")
    assert "anew" in contents(model.requests[-1]), "a reset that is sent again resets nothing more"
