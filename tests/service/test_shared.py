"""What an account shares with its users: their agents find it and read it, and none of them changes it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.door import Door, opened
from tests.support.scripted_model import ScriptedModel
from triptych import ACCOUNT
from triptych.archival.v1.archival_pb2 import Passage
from triptych.errors import FailedPrecondition, PermissionDenied
from triptych.recall.v1.recall_pb2 import Message
from triptych.sdk.reply import Reply
from triptych.type.v1 import type_pb2


def results(reply: Reply) -> list[Message]:
    return [message for message in reply.messages if message.HasField("tool_return")]


RULES = "Refunds within thirty days."
FACT = "The office in Oslo opens at nine."


@pytest.fixture
async def door(tmp_path: Path, model: ScriptedModel, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Door]:
    async with opened(tmp_path, capsys, model_url=model.url) as opened_door:
        yield opened_door


async def test_a_users_agent_searches_the_accounts_archive_beside_its_own(door: Door, model: ScriptedModel) -> None:
    bob_key = await door.new_user("bob")
    async with door.client(user=ACCOUNT) as account, door.client(bob_key) as bob:
        archive = await account.archives.create("handbook")
        await account.archives.insert(archive.id, [Passage(text=FACT)])
        agent = await bob.agents.create("a", blocks={"human": "x"})
        await bob.archival.insert(agent, "Bob's own office in Oslo opens at ten.")
        agent.archive_ids.append(archive.id)
        await bob.agents.update(agent, "archive_ids")
        call = json.dumps({"query": "When does the office in Oslo open?"})
        reply = await bob.turns.send(agent.id, f"[[call:archival_memory_search {call}]] when?")
        (found,) = results(reply)
        assert FACT in found.text
        assert "opens at ten" in found.text
        # What the agent saves goes to its own, and another's agent sees nothing of it.
        await bob.turns.send(agent.id, '[[call:archival_memory_insert {"content": "Bob likes tea."}]] note')
        assert [each.text async for each in account.archives.passages([archive.id])] == [FACT]
        # An archive that is not attached is not searched.
        other = await bob.agents.create("b")
        reply = await bob.turns.send(other.id, f"[[call:archival_memory_search {call}]] when?")
        assert FACT not in results(reply)[0].text


async def test_an_agent_that_is_made_with_the_accounts_archive_saves_to_its_own(door: Door) -> None:
    bob_key = await door.new_user("bob")
    async with door.client(user=ACCOUNT) as account, door.client(bob_key) as bob:
        archive = await account.archives.create("handbook")
        agent = await bob.agents.create("a", archive_ids=[archive.id])
        assert list(agent.archive_ids)[1:] == [archive.id]
        await bob.turns.send(agent.id, '[[call:archival_memory_insert {"content": "Bob likes tea."}]] note')
        assert [each.text async for each in bob.archives.passages([agent.archive_ids[0]])] == ["Bob likes tea."]
        # Its own, which is still to be made, is another agent's to save to; and the account itself may save to its.
        assert (await bob.agents.create("b", archive_ids=[agent.archive_ids[0]])).archive_ids == agent.archive_ids[:1]
        assert (await account.agents.create("c", archive_ids=[archive.id])).archive_ids == [archive.id]


async def test_an_agent_that_would_insert_into_the_accounts_archive_is_refused_and_told(door: Door) -> None:
    bob_key = await door.new_user("bob")
    async with door.client(user=ACCOUNT) as account, door.client(bob_key) as bob:
        archive = await account.archives.create("handbook")
        agent = await bob.agents.create("a")
        agent.archive_ids[:] = [archive.id]
        await bob.agents.update(agent, "archive_ids")
        reply = await bob.turns.send(agent.id, '[[call:archival_memory_insert {"content": "Mine."}]] note')
        (told,) = results(reply)
        assert told.tool_return.status == type_pb2.TOOL_STATUS_ERROR
        assert "the archive is the account's" in told.text
        assert not [each async for each in account.archives.passages([archive.id])]
        assert not [each async for each in bob.archives.list()]


async def test_the_accounts_block_is_in_every_prompt_as_it_is_now_and_read_only(
    door: Door, model: ScriptedModel
) -> None:
    keys = [await door.new_user(name) for name in ("bob", "eve")]
    async with door.client(user=ACCOUNT) as account:
        block = await account.blocks.create("rules", RULES)
        assert (block.shared, block.read_only) == (True, False)
        for key in keys:
            async with door.client(key) as user:
                agent = await user.agents.create("a", block_ids=[block.id])
                assert [(each.label, each.shared, each.read_only) for each in agent.blocks] == [("rules", True, True)]
                await user.turns.send(agent.id, "hello")
                assert RULES in str(model.requests[-1]["messages"][0])
                edit = '[[call:memory_insert {"label": "rules", "new_string": "No refunds."}]] change it'
                reply = await user.turns.send(agent.id, edit)
                assert "read-only" in results(reply)[0].text
        block.value = "Refunds within a year."
        block = await account.blocks.update(block, "value")
        async with door.client(keys[0]) as bob:
            (agent,) = [each async for each in bob.agents.list()]
            await bob.turns.send(agent.id, "hello again")
            assert "Refunds within a year." in str(model.requests[-1]["messages"][0])
            # Its label is what users' agents know it by.
            block.label = "law"
            with pytest.raises(FailedPrecondition, match="label"):
                await account.blocks.update(block, "label")
            await account.blocks.delete(block.id)
            assert not (await bob.agents.get(agent.id)).blocks
            await bob.turns.send(agent.id, "and now?")
            assert "Refunds" not in str(model.requests[-1]["messages"][0])


async def test_a_user_who_is_erased_or_exported_leaves_what_the_account_shares(door: Door) -> None:
    bob_key = await door.new_user("bob")
    async with door.client(user=ACCOUNT) as account, door.client(bob_key) as bob, door.client() as admin:
        block = await account.blocks.create("rules", RULES)
        archive = await account.archives.create("handbook")
        await account.archives.insert(archive.id, [Passage(text=FACT)])
        agent = await bob.agents.create("a", block_ids=[block.id])
        await bob.agents.delete(agent.id)
        await bob.agents.create("b", block_ids=[block.id])
        exported = b"".join([piece async for piece in account.users.export()])
        assert exported.startswith(b"PK")
        await admin.users.delete("bob")
        assert (await account.blocks.get(block.id)).value == RULES
        assert await account.archives.count([archive.id]) == 1
        with pytest.raises(PermissionDenied):
            async with door.client(await door.new_user("eve")) as eve:
                await eve.archives.delete(archive.id)


async def test_an_application_keeps_the_accounts_knowledge_by_rest(door: Door) -> None:
    from triptych.gateway.v1 import gateway_pb2

    async with door.client() as admin:
        key = (await admin.keys.create(kind=gateway_pb2.KEY_KIND_APPLICATION)).secret
    async with (
        door.http(key, **{"triptych-user": ACCOUNT}) as account,
        door.http(key, **{"triptych-user": "end-user"}) as user,
    ):
        made = (await account.post("/v1/blocks", json={"label": "rules", "value": RULES})).json()
        assert [each["id"] for each in (await user.get("/v1/blocks", params={"shared": True})).json()] == [made["id"]]
        assert (await user.get("/v1/blocks")).json() == []
        assert (await user.patch(f"/v1/blocks/{made['id']}", json={"value": "x"})).status_code == 403
        archive = (await account.post("/v1/archives", json={"name": "handbook"})).json()
        await account.post(f"/v1/archives/{archive['id']}/passages", json={"text": FACT})
        shared = (await user.get("/v1/archives", params={"shared": True})).json()
        assert [each["id"] for each in shared] == [archive["id"]]
        body = {"query": "office Oslo", "archive_id": archive["id"]}
        assert FACT in (await user.post("/v1/passages/search", json=body)).text
        assert FACT not in (await user.post("/v1/passages/search", json={"query": "office Oslo"})).text
