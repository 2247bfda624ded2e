"""Groups, batches, tags and agent files through the SDK."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from tests.support.door import FIRST_KEY, Door, opened
from tests.support.scripted_model import ScriptedModel
from triptych import AsyncTriptych
from triptych.agent.v1 import turn_pb2
from triptych.agent.v1.agent_pb2 import Agent
from triptych.errors import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from triptych.gateway.v1 import batch_pb2, group_pb2
from triptych.sdk.reply import TurnFailed


@pytest.fixture
async def door(tmp_path: Path, model: ScriptedModel, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Door]:
    async with opened(tmp_path, capsys, model_url=model.url) as made:
        yield made


@pytest.fixture
async def client(door: Door) -> AsyncIterator[AsyncTriptych]:
    async with door.client() as made:
        yield made


@pytest.fixture
async def agents(client: AsyncTriptych) -> list[Agent]:
    return [await client.agents.create(name) for name in ("ann", "bob")]


def _ids(agents: list[Agent]) -> list[str]:
    return [agent.id for agent in agents]


async def test_a_round_is_answered_by_each_and_listed_once(client: AsyncTriptych, agents: list[Agent]) -> None:
    group = await client.groups.create(_ids(agents), description="d")
    reply = await client.groups.send(group.id, "hello", name="Eva")
    assert [(message.name, message.text) for message in reply.messages] == [("ann", "ok: hello"), ("bob", "ok: hello")]
    assert reply.usage.step_count == 2
    said = [message async for message in client.groups.messages(group.id)]
    assert [(message.agent_id, message.text) for message in said[1:]] == [(each.id, "ok: hello") for each in agents]
    assert said[0].text == "hello"
    newest = [message.id async for message in client.groups.messages(group.id, newest_first=True)]
    assert newest == [message.id for message in reversed(said)]


async def test_a_manager_asks_the_others(client: AsyncTriptych, agents: list[Agent]) -> None:
    group = await client.groups.create([agents[1].id], manager_agent_id=agents[0].id)
    assert group.type == group_pb2.GROUP_TYPE_SUPERVISOR
    asked = json.dumps({"message": "are you there?"})
    reply = await client.groups.send(group.id, f"[[call:send_message_to_all_agents_in_group {asked}]] ask")
    assert "ok: are you there?" in reply.messages[1].text
    assert reply.text == "ok: ask"


async def test_the_turn_that_fails_ends_the_round_with_its_error(client: AsyncTriptych, agents: list[Agent]) -> None:
    group = await client.groups.create(_ids(agents))
    with pytest.raises(TurnFailed):
        await client.groups.send(group.id, "[[status:400]] hello")


async def test_a_message_to_a_group_runs_once_and_its_id_is_for_no_other(
    client: AsyncTriptych, agents: list[Agent], model: ScriptedModel
) -> None:
    group = await client.groups.create(_ids(agents))
    first, again = [await client.groups.send(group.id, "hello", request_id="once") for _ in range(2)]
    assert [message.id for message in first.messages] == [message.id for message in again.messages]
    assert len(model.requests) == 2
    with pytest.raises(FailedPrecondition):
        await client.groups.send(group.id, "something else", request_id="once")


async def test_groups_that_are_made_without_a_request_id_are_each_a_group(door: Door, agents: list[Agent]) -> None:
    request = group_pb2.CreateGroupRequest(group=group_pb2.Group(agent_ids=_ids(agents)))
    async with grpc.aio.insecure_channel(door.address) as channel:
        create = channel.unary_unary(
            "/triptych.gateway.v1.GroupService/CreateGroup",
            group_pb2.CreateGroupRequest.SerializeToString,
            group_pb2.CreateGroupResponse.FromString,
        )
        made = [(await create(request, metadata=(("authorization", f"Bearer {FIRST_KEY}"),))).group for _ in range(2)]
    assert made[0].id != made[1].id


async def test_groups_are_changed_reset_listed_and_deleted_once(client: AsyncTriptych, agents: list[Agent]) -> None:
    groups = [await client.groups.create(_ids(agents), request_id=f"r{number}") for number in range(3)]
    assert (await client.groups.create(_ids(agents), request_id="r0")).id == groups[0].id
    with pytest.raises(FailedPrecondition):
        await client.groups.create(_ids(agents)[:1], request_id="r0")
    group = groups[0]
    assert [each.id async for each in client.groups.list()] == [each.id for each in reversed(groups)]
    assert [each async for each in client.groups.list(group_pb2.GROUP_TYPE_SUPERVISOR)] == []
    assert await client.groups.count() == 3

    await client.groups.send(group.id, "hello")
    wanted = group_pb2.Group(id=group.id, agent_ids=[agents[1].id], max_turns=1, description="not written")
    changed = await client.groups.update(wanted, "agent_ids", "max_turns", request_id="u")
    assert (list(changed.agent_ids), changed.max_turns, changed.description) == ([agents[1].id], 1, "")
    for bad in ("x" * 10_001, "a\0b"):
        changed.description = bad
        with pytest.raises(InvalidArgument, match="description"):
            await client.groups.update(changed, "description")
        with pytest.raises(InvalidArgument, match="description"):
            await client.groups.create(_ids(agents), description=bad)
    changed.description = "new"
    await client.groups.update(changed, "description")
    late = await client.groups.update(wanted, "agent_ids", "max_turns", request_id="u")
    assert late.description == "new"
    with pytest.raises(InvalidArgument):
        await client.groups.update(wanted, "type")

    await client.groups.reset(group.id, request_id="x")
    assert [message async for message in client.groups.messages(group.id)] == []
    await client.groups.send(group.id, "after it")
    await client.groups.reset(group.id, request_id="x")
    assert len([message async for message in client.groups.messages(group.id)]) == 2

    await client.groups.delete(group.id, request_id="d")
    await client.groups.delete(group.id, request_id="d")
    with pytest.raises(NotFound):
        await client.groups.delete(group.id)
    with pytest.raises(NotFound):
        await client.groups.get(group.id)


async def test_a_batch_answers_each_of_its_turns_in_their_places(
    client: AsyncTriptych, agents: list[Agent], model: ScriptedModel
) -> None:
    thread = await client.conversations.create(agents[1].id)
    longer = turn_pb2.StartTurnRequest(
        agent_id=agents[1].id, conversation_id=thread.id, messages=[turn_pb2.InputMessage(text="third")]
    )
    turns = [(agents[0].id, "first"), (agents[1].id, "second"), longer]
    batch = await client.batches.create(turns, request_id="once")
    assert (batch.state, batch.queued_count) == (batch_pb2.BATCH_STATE_QUEUED, 3)
    over = await client.batches.wait(batch.id)
    assert (over.state, over.completed_count, over.queued_count) == (batch_pb2.BATCH_STATE_COMPLETED, 3, 0)
    items = [item async for item in client.batches.items(batch.id)]
    assert [(item.position, item.messages[-1].text) for item in items] == [
        (0, "ok: first"),
        (1, "ok: second"),
        (2, "ok: third"),
    ]
    assert items[2].messages[0].conversation_id == thread.id
    mine = [item.position async for item in client.batches.items(batch.id, agent_id=agents[1].id)]
    assert mine == [1, 2]
    assert await client.batches.create(turns, request_id="once") == batch
    assert len(model.requests) == 3
    with pytest.raises(FailedPrecondition):
        await client.batches.create(turns[:1], request_id="once")
    with pytest.raises(InvalidArgument):
        await client.batches.create([turn_pb2.StartTurnRequest(agent_id=agents[0].id)])


async def test_a_cancelled_batch_stops_what_runs(
    client: AsyncTriptych, agents: list[Agent], model: ScriptedModel
) -> None:
    batch = await client.batches.create([(agents[0].id, "[[wait]] long")])
    assert await asyncio.to_thread(model.waiting.wait, 20)
    assert (await client.batches.cancel(batch.id)).state == batch_pb2.BATCH_STATE_CANCELLED
    over = await client.batches.wait(batch.id)
    assert over.cancelled_count == 1
    assert [each.id async for each in client.batches.list()] == [batch.id]
    model.release()


async def test_tags_are_each_listed_once_by_the_alphabet(door: Door, client: AsyncTriptych) -> None:
    for tags in (["red", "blue"], ["blue", "deep blue", "50%"], []):
        await client.agents.create(tags=tags)
    assert [tag async for tag in client.tags.list()] == ["50%", "blue", "deep blue", "red"]
    assert [tag async for tag in client.tags.list("blue")] == ["blue", "deep blue"]
    assert [tag async for tag in client.tags.list("%")] == ["50%"]
    async with door.client(await door.new_user("bob")) as bob:
        assert [tag async for tag in bob.tags.list()] == []


async def test_an_agent_comes_back_from_its_file(client: AsyncTriptych, tmp_path: Path) -> None:
    agent = await client.agents.create("ann", blocks={"human": "Name: Ann."}, tags=["t"])
    await client.turns.send(agent.id, "I like quinces.")
    await client.archival.insert(agent, "Quinces ripen in October.")
    path = tmp_path / "ann.af"
    path.write_bytes(await client.agents.export_file(agent.id))
    (copy_id,) = (await client.agents.import_file(path, copy_suffix=True)).agent_ids
    copy = await client.agents.get(copy_id)
    assert (copy.name, list(copy.tags), copy.blocks[0].value) == ("ann_copy", ["t"], "Name: Ann.")
    assert [message.text async for message in client.recall.list(copy_id)] == ["I like quinces.", "ok: I like quinces."]
    assert (await client.archival.search(copy, "October"))[0].passage.text == "Quinces ripen in October."

    once = [await client.agents.import_file(path, name="once", request_id="r") for _ in range(2)]
    assert once[0] == once[1]
    assert [each.name async for each in client.agents.list(name="once")] == ["once"]
    with pytest.raises(FailedPrecondition):
        await client.agents.import_file(path, name="another", request_id="r")

    bare = await client.agents.export_file(agent.id, with_messages=False)
    (other_id,) = (await client.agents.import_file(bare, name="other")).agent_ids
    assert [message async for message in client.recall.list(other_id)] == []


async def test_a_file_larger_than_a_message_comes_through_and_a_huge_one_is_refused(client: AsyncTriptych) -> None:
    agent = await client.agents.create("ann")
    words = "quince " * 10_000
    for number in range(8):
        await client.archives.insert(agent.archive_ids[0], [f"{number} {words}"] * 10, create_archive_name="a")
    content = await client.agents.export_file(agent.id)
    assert len(content) > 4 * 1024 * 1024
    (copy_id,) = (await client.agents.import_file(content)).agent_ids
    copy = await client.agents.get(copy_id)
    assert await client.archives.count(list(copy.archive_ids)) == 80
    with pytest.raises(ResourceExhausted):
        await client.agents.import_file(b" " * (64 * 1024 * 1024 + 1))
    with pytest.raises(InvalidArgument):
        await client.agents.import_file(b"no file")
    with pytest.raises(NotFound):
        await client.agents.export_file(copy_id.replace(copy_id[-4:], "0000"))
