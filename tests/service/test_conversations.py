"""Conversations: many threads over one memory, each with a window of its own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.service.test_agent_service import World, world
from tests.support.keys import ANN
from tests.support.scripted_model import ScriptedModel
from triptych.agent.v1 import agent_pb2 as pb
from triptych.agent.v1 import turn_pb2
from triptych.errors import FailedPrecondition, NotFound
from triptych.recall.v1 import recall_pb2

__all__ = ["world"]


async def ask(world: World, method: str, request: Any) -> Any:
    return await world.peer.unary(getattr(world.agents, method), request, caller=ANN)


async def new_conversation(world: World, agent: pb.Agent, **more: Any) -> pb.Conversation:
    request = pb.CreateConversationRequest(conversation=pb.Conversation(agent_id=agent.id, **more))
    return (await ask(world, "CreateConversation", request)).conversation


async def said(world: World, agent: pb.Agent, conversation_id: str) -> list[str]:
    request = recall_pb2.ListMessagesRequest(agent_id=agent.id, conversation_id=conversation_id, page_size=1000)
    found = await world.recall_peer.unary(world.recall.ListMessages, request, caller=ANN)
    return [message.text for message in found.messages]


def seen(model: ScriptedModel) -> str:
    """What the model was sent last, without its instructions."""
    return str(model.requests[-1]["messages"][1:])


async def test_title_summary_and_metadata_can_be_changed_and_the_next_turn_sees_the_summary(
    world: World, model: ScriptedModel
) -> None:
    agent = await world.new_agent()
    made = await new_conversation(world, agent, title="first")
    await world.send(agent, "before", conversation_id=made.id)
    wanted = pb.Conversation(id=made.id, title="second", summary="They spoke of quinces.")
    wanted.metadata["mood"] = "good"
    request = pb.UpdateConversationRequest(conversation=wanted, update_mask={"paths": ["title", "summary", "metadata"]})
    changed = (await ask(world, "UpdateConversation", request)).conversation
    assert (changed.title, changed.metadata["mood"]) == ("second", "good")
    await world.send(agent, "after", conversation_id=made.id)
    assert "They spoke of quinces." in seen(model)


async def test_a_fork_begins_with_the_window_and_goes_its_own_way(world: World, model: ScriptedModel) -> None:
    agent = await world.new_agent()
    source = await new_conversation(world, agent, summary="Long ago: plums.")
    await world.send(agent, "shared past", conversation_id=source.id)
    request = pb.ForkConversationRequest(conversation_id=source.id, title="what if", request_id="once")
    forked = (await ask(world, "ForkConversation", request)).conversation
    assert (await ask(world, "ForkConversation", request)).conversation.id == forked.id
    assert (forked.forked_from_id, forked.title, forked.summary) == (source.id, "what if", "Long ago: plums.")
    await world.send(agent, "only here", conversation_id=forked.id)
    assert "shared past" in seen(model)
    assert "plums" in seen(model)
    await world.send(agent, "only there", conversation_id=source.id)
    assert "only here" not in seen(model)
    assert await said(world, agent, forked.id) == ["shared past", "ok: shared past", "only here", "ok: only here"]


async def test_a_deleted_conversation_leaves_nothing_and_its_live_turn_ends(world: World, model: ScriptedModel) -> None:
    agent = await world.new_agent()
    made, other = await new_conversation(world, agent), await new_conversation(world, agent)
    done = (await world.send(agent, "gone", conversation_id=made.id))[-1].done.turn
    await world.send(agent, "stays", conversation_id=other.id)
    start = turn_pb2.StartTurnRequest(
        agent_id=agent.id, conversation_id=made.id, request_id="hangs", messages=[{"text": "[[wait]]"}]
    )
    stream = world.peer.stream(world.turns.StartTurn, start, caller=ANN)
    await anext(stream)
    request = pb.DeleteConversationRequest(conversation_id=made.id, request_id="once")
    await ask(world, "DeleteConversation", request)
    await ask(world, "DeleteConversation", request)
    assert await said(world, agent, made.id) == []
    assert await said(world, agent, other.id) == ["stays", "ok: stays"]
    with pytest.raises(NotFound):
        await ask(world, "GetConversation", pb.GetConversationRequest(conversation_id=made.id))
    with pytest.raises(NotFound):
        await world.peer.unary(world.turns.GetTurn, turn_pb2.GetTurnRequest(turn_id=done.id), caller=ANN)
    model.release()


async def test_the_default_conversation_is_not_deleted_and_its_turns_go_on(world: World) -> None:
    agent = await world.new_agent()
    request = pb.DeleteConversationRequest(conversation_id=agent.default_conversation_id)
    with pytest.raises(FailedPrecondition, match="default"):
        await ask(world, "DeleteConversation", request)
    await world.send(agent, "still here")
