"""What a compaction promises when agent_service is killed in the middle of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from servicekit.channel import Peer
from tests.crash.test_turns import Tiers, killed_while_the_model_thinks
from tests.support.keys import ANN, signer
from tests.support.scripted_model import ScriptedModel, asks_for_summary
from tests.support.stack import environment
from triptych.agent.v1 import agent_pb2, turn_pb2
from triptych.agent.v1.agent_pb2_grpc import AgentServiceStub

_WINDOW = "3500"


@pytest.fixture
async def tiers(tmp_path: Path, model: ScriptedModel) -> AsyncIterator[Tiers]:
    environ = {**environment(tmp_path, model.url), "TRIPTYCH_MODEL_CONTEXT_WINDOW": _WINDOW}
    made = Tiers(environ, signer(tmp_path / "keys"))
    yield made
    await made.close()


async def conversation(peer: Peer, agent: agent_pb2.Agent) -> agent_pb2.Conversation:
    request = agent_pb2.GetConversationRequest(conversation_id=agent.default_conversation_id)
    stub = AgentServiceStub(peer.channel)
    return (await peer.unary(stub.GetConversation, request, caller=ANN)).conversation


async def test_a_turn_killed_while_its_window_was_summarised_is_finished_and_compacted_once(
    tiers: Tiers, model: ScriptedModel
) -> None:
    agent = await tiers.new_agent()
    model.holds_summaries = True
    texts = [f"turn {number} " + "x" * 180 for number in range(40)]
    compacted: list[turn_pb2.TurnEvent] = []
    waiting = asyncio.create_task(asyncio.to_thread(model.waiting.wait, 40))
    for text in texts:
        turn_id = await tiers.begin(agent, text)
        finishing = asyncio.create_task(tiers.finish(turn_id))
        await asyncio.wait([finishing, waiting], return_when=asyncio.FIRST_COMPLETED)
        if waiting.done() and not finishing.done():
            finishing.cancel()
            await killed_while_the_model_thinks(tiers, model)
            events = await tiers.finish(turn_id)
            assert events[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED
            assert [event.sequence for event in events] == list(range(1, len(events) + 1))
            compacted = [event for event in events if event.HasField("compaction")]
            break
    assert len(compacted) == 1, "it was killed in a compaction"
    said = await tiers.said(agent)
    assert len(said) == len(set(said))
    assert said[-2].startswith("turn ")
    now = await conversation(tiers.agent_peer, agent)
    assert now.summary == model.summary
    assert now.summary_through == compacted[0].compaction.evicted_messages
    assert sum(asks_for_summary(request) for request in model.requests) == 2
