"""An agent that is shared with named users: each has a conversation of its own, and none changes or sees more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.door import Door, opened
from tests.support.recall import eventually
from tests.support.scripted_model import ScriptedModel
from triptych import AsyncTriptych
from triptych.agent.v1 import agent_pb2
from triptych.errors import FailedPrecondition, InvalidArgument, NotFound

GUESTS_WORDS = "My passphrase is tangerine."
OWNERS_WORDS = "The owner keeps the spare key under the mat."


@pytest.fixture
async def door(tmp_path: Path, model: ScriptedModel, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Door]:
    async with opened(tmp_path, capsys, model_url=model.url) as opened_door:
        yield opened_door


async def _guest(door: Door, name: str) -> tuple[str, str]:
    """Its id and its key."""
    key = await door.new_user(name)
    async with door.client(key) as client:
        return (await client.users.me()).user.id, key


async def _shared(owner: AsyncTriptych, *guests: str) -> agent_pb2.Agent:
    agent = await owner.agents.create("helper", blocks={"human": "The owner is Olga."})
    for guest in guests:
        await owner.shares.create(agent.id, guest)
    return agent


async def test_each_guest_keeps_one_conversation_and_reads_it_alone(door: Door, model: ScriptedModel) -> None:
    (bob, bob_key), (eve, eve_key) = await _guest(door, "bob"), await _guest(door, "eve")
    async with door.client() as owner, door.client(bob_key) as as_bob, door.client(eve_key) as as_eve:
        agent = await _shared(owner, bob, eve)
        await owner.turns.send(agent.id, OWNERS_WORDS)
        assert [each.name for each in await as_bob.shared_agents.list()] == ["helper"]
        reply = await as_bob.shared_agents.send(agent.id, GUESTS_WORDS)
        assert reply.text == f"ok: {GUESTS_WORDS}"
        await as_bob.shared_agents.send(agent.id, "and more")
        # The conversation goes on …
        assert GUESTS_WORDS in str(model.requests[-1]["messages"])
        # … is another than the owner's, and than the other guest's.
        await as_eve.shared_agents.send(agent.id, "hello")
        assert "tangerine" not in str(model.requests[-1]["messages"])
        assert OWNERS_WORDS not in str(model.requests[-1]["messages"])
        said = [message.text async for message in as_bob.shared_agents.messages(agent.id)]
        assert said == [GUESTS_WORDS, f"ok: {GUESTS_WORDS}", "and more", "ok: and more"]
        assert [message.text async for message in as_eve.shared_agents.messages(agent.id)] == ["hello", "ok: hello"]
        # What is shared again is the same conversation.
        await owner.shares.create(agent.id, bob)
        assert len([message async for message in as_bob.shared_agents.messages(agent.id)]) == 4


async def test_a_guest_has_no_other_way_to_the_agent(door: Door) -> None:
    bob, bob_key = await _guest(door, "bob")
    async with door.client() as owner, door.client(bob_key) as as_bob:
        agent = await _shared(owner, bob)
        await as_bob.shared_agents.send(agent.id, "hello")
        turn = (await as_bob.shared_agents.send(agent.id, "again")).turn
        (share,) = await owner.shares.list(agent.id)
        agent.description = "mine now"
        for call in (
            as_bob.agents.get(agent.id),
            as_bob.agents.update(agent, "description"),
            as_bob.agents.delete(agent.id),
            as_bob.blocks.get(agent.blocks[0].id),
            as_bob.turns.send(agent.id, "hello"),
            as_bob.turns.get(turn.id),
            as_bob.turns.cancel(turn.id),
            as_bob.conversations.get(share.conversation_id),
            as_bob.shares.create(agent.id, bob),
            as_bob.shares.revoke(agent.id, bob),
        ):
            with pytest.raises(NotFound):
                await call
        assert not await as_bob.shares.list(agent.id)
        assert not [message async for message in as_bob.recall.list(agent_id=agent.id)]


async def test_a_guests_turn_searches_its_own_conversation_and_the_archives_and_changes_nothing(
    door: Door, model: ScriptedModel
) -> None:
    (bob, bob_key), (eve, eve_key) = await _guest(door, "bob"), await _guest(door, "eve")
    async with door.client() as owner, door.client(bob_key) as as_bob, door.client(eve_key) as as_eve:
        agent = await _shared(owner, bob, eve)
        tool = await owner.tools.create_client_tool("wire_money", "Wires.", {"type": "object", "properties": {}})
        await owner.tools.attach(agent.id, tool.id)
        await owner.archival.insert(agent, "The passphrase policy is in the handbook.")
        await owner.turns.send(agent.id, "The owner's passphrase is walnut.")
        await as_eve.shared_agents.send(agent.id, GUESTS_WORDS)
        await as_bob.shared_agents.send(agent.id, "My passphrase is plum.")
        search = json.dumps({"query": "passphrase"})
        reply = await as_bob.shared_agents.send(
            agent.id, f"[[call:conversation_search {search}]] [[call:archival_memory_search {search}]] tell me"
        )
        told = [m["content"] for m in model.requests[-1]["messages"] if m["role"] == "tool"][-2:]
        assert "plum" in told[0]
        assert "tangerine" not in told[0]
        assert "walnut" not in told[0]
        assert "policy" in told[1]
        # What tools returned is not the guest's to see.
        assert all("policy" not in message.text for message in reply.messages)
        offered = {each["function"]["name"] for each in model.requests[-1]["tools"]}
        assert offered == {"conversation_search", "archival_memory_search"}
        edit = '[[call:memory_insert {"label": "human", "new_string": "Bob rules."}]]'
        await as_bob.shared_agents.send(
            agent.id, f"{edit} [[call:archival_memory_insert {{}}]] [[call:wire_money {{}}]] x"
        )
        assert (await owner.agents.get(agent.id)).blocks[0].value == "The owner is Olga."
        # Nor does what guests said come up in the owner's own turn.
        reply = await owner.turns.send(agent.id, f"[[call:conversation_search {search}]] tell me")
        (told,) = [m.text for m in reply.messages if m.HasField("tool_return")]
        assert "walnut" in told
        assert "plum" not in told
        assert "tangerine" not in told


async def test_a_guest_of_an_agent_without_archives_reaches_none_of_its_owners(
    door: Door, model: ScriptedModel
) -> None:
    bob, bob_key = await _guest(door, "bob")
    async with door.client() as owner, door.client(bob_key) as as_bob:
        agent = await _shared(owner, bob)
        await owner.archival.insert(await owner.agents.create("other"), "The safe's number is 4711.")
        await owner.archives.detach(agent.id, agent.archive_ids[0])
        await as_bob.shared_agents.send(agent.id, '[[call:archival_memory_search {"query": "number of the safe"}]]')
        assert "4711" not in str(model.requests[-1]["messages"])
        assert "Nothing found" in str(model.requests[-1]["messages"])


async def test_a_revoked_share_ends_at_once_with_the_turn_that_runs(door: Door, model: ScriptedModel) -> None:
    bob, bob_key = await _guest(door, "bob")
    async with door.client() as owner, door.client(bob_key) as as_bob:
        agent = await _shared(owner, bob)
        running = asyncio.create_task(as_bob.shared_agents.send(agent.id, "[[wait]] slowly"))
        assert await asyncio.to_thread(model.waiting.wait, 20)
        await owner.shares.revoke(agent.id, bob)
        await running
        assert not await as_bob.shared_agents.list()
        for call in (as_bob.shared_agents.send(agent.id, "hello"), anext(as_bob.shared_agents.messages(agent.id))):
            with pytest.raises(NotFound, match=f"Agent with ID {agent.id} not found"):
                await call
        with pytest.raises(NotFound):
            await owner.shares.revoke(agent.id, bob)
        assert not await owner.shares.list(agent.id)


async def test_ids_of_requests_are_each_guests_own(door: Door, model: ScriptedModel) -> None:
    (bob, bob_key), (eve, eve_key) = await _guest(door, "bob"), await _guest(door, "eve")
    async with door.client() as owner, door.client(bob_key) as as_bob, door.client(eve_key) as as_eve:
        agent = await _shared(owner, bob, eve)
        await owner.turns.send(agent.id, "one", request_id="r")
        assert (await as_bob.shared_agents.send(agent.id, "two", request_id="r")).text == "ok: two"
        assert (await as_eve.shared_agents.send(agent.id, "three", request_id="r")).text == "ok: three"
        assert (await as_bob.shared_agents.send(agent.id, "two", request_id="r")).text == "ok: two"
        assert len(model.requests) == 3


async def test_another_accounts_user_is_no_guest(door: Door) -> None:
    async with door.client() as owner:
        made = await owner.accounts.create("acme")
        agent = await _shared(owner, made.admin.id)
        with pytest.raises(InvalidArgument):
            await owner.shares.create(agent.id, "somebody")
    async with door.client(made.secret) as stranger:
        assert not await stranger.shared_agents.list()
        with pytest.raises(NotFound):
            await stranger.shared_agents.send(agent.id, "hello")


async def test_a_guest_takes_its_words_along_and_they_go_with_it(door: Door) -> None:
    import io
    import zipfile

    bob, bob_key = await _guest(door, "bob")
    async with door.client() as owner, door.client(bob_key) as as_bob:
        agent = await _shared(owner, bob)
        await as_bob.shared_agents.send(agent.id, GUESTS_WORDS)
        raw = b"".join([piece async for piece in as_bob.users.export()])
        exported = zipfile.ZipFile(io.BytesIO(raw)).read("shared_messages.ndjson").decode()
        assert GUESTS_WORDS in exported
        erased = await owner.users.delete("bob")
        assert erased.removed["core.guest_conversations"] == 1
        assert not await owner.shares.list(agent.id)

        async def found() -> list[str]:
            return [hit.message.text for hit in await owner.recall.search("passphrase", agent_id=agent.id)]

        assert await eventually(found, lambda texts: not texts) == []


async def test_a_guests_conversation_does_not_become_one_of_the_owners(door: Door) -> None:
    bob, bob_key = await _guest(door, "bob")
    async with door.client() as owner, door.client(bob_key) as as_bob:
        agent = await _shared(owner, bob)
        await as_bob.shared_agents.send(agent.id, GUESTS_WORDS)
        (share,) = await owner.shares.list(agent.id)
        with pytest.raises(FailedPrecondition, match="guest"):
            await owner.conversations.fork(share.conversation_id)


async def test_sharing_by_rest(door: Door) -> None:
    bob, bob_key = await _guest(door, "bob")
    async with door.client() as owner, door.http() as http, door.http(bob_key) as as_bob:
        agent = await _shared(owner)
        made = (await http.post(f"/v1/agents/{agent.id}/shares", json={"user_id": bob})).json()["share"]
        assert made["user_id"] == bob
        assert [each["agent_id"] for each in (await as_bob.get("/v1/shared-agents")).json()["agents"]] == [agent.id]
        said = (await as_bob.post(f"/v1/shared-agents/{agent.id}/messages", json={"text": "hello"})).json()
        assert [each["text"] for each in said["messages"]] == ["ok: hello"]
        listed = (await as_bob.get(f"/v1/shared-agents/{agent.id}/messages")).json()["messages"]
        assert [each["text"] for each in listed] == ["hello", "ok: hello"]
        stream, again = f"/v1/shared-agents/{agent.id}/messages/stream", {"text": "more", "request_id": "one"}
        events = (await as_bob.post(stream, json=again)).text.removeprefix("data: ").strip().split("\n\ndata: ")
        assert events.pop() == "[DONE]"
        sent = [json.loads(event) for event in events]
        words = [each for each in sent if each["message_type"] == "assistant_message"]
        assert "".join(each["content"] for each in words) == "ok: more"
        # The same request follows the same turn, from where it was left.
        last = max(each.get("seq_id") or 0 for each in sent)
        rest = (await as_bob.post(stream, json={**again, "starting_after": last})).text
        assert "assistant_message" not in rest
        assert "end_turn" in rest
        assert len((await as_bob.get(f"/v1/shared-agents/{agent.id}/messages")).json()["messages"]) == 4
        assert (await http.delete(f"/v1/agents/{agent.id}/shares/{bob}")).status_code == 200
        gone = await as_bob.post(f"/v1/shared-agents/{agent.id}/messages", json={"text": "hello"})
        assert gone.status_code == 404
