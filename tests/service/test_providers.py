"""Model providers of users and accounts: whose agents use them, and that nobody is shown their keys again."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from agent_service.stores.requests import digest
from tests.support.door import ALL, Door, opened
from tests.support.scripted_model import MODEL, ScriptedModel
from triptych import ACCOUNT, AsyncTriptych
from triptych.agent.v1 import provider_pb2
from triptych.aio import TurnFailed
from triptych.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from triptych.gateway.v1 import gateway_pb2
from triptych.type.v1 import type_pb2

KEY, NEW_KEY = "sk-the-first-secret-1111", "sk-the-second-secret-2222"
PRIVATE = {"TRIPTYCH_PROVIDER_PRIVATE_ADDRESSES": "on"}


@pytest.fixture
def theirs() -> Iterator[ScriptedModel]:
    """The endpoint of a provider; `model` is the server's own."""
    scripted = ScriptedModel().start()
    yield scripted
    scripted.stop()


@pytest.fixture
async def door(tmp_path: Path, model: ScriptedModel, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Door]:
    async with opened(tmp_path, capsys, model_url=model.url, more=PRIVATE) as opened_door:
        yield opened_door


async def _talk(client: AsyncTriptych, handle: str, text: str = "hello") -> str:
    agent = await client.agents.create(model=handle)
    return (await client.turns.send(agent.id, text)).text


async def test_a_users_agent_is_answered_by_its_own_provider(
    door: Door, model: ScriptedModel, theirs: ScriptedModel
) -> None:
    async with door.client() as client:
        made = await client.providers.create("mine", theirs.url, KEY, default_model="big")
        assert (made.api_key, made.api_key_hint, made.shared) == ("", "1111", False)
        assert await _talk(client, "mine/some/model") == "ok: hello"
        assert await _talk(client, "mine/") == "ok: hello"
        assert [request["model"] for request in theirs.requests] == ["some/model", "big"]
        assert theirs.authorizations == [f"Bearer {KEY}"] * 2
        assert not model.requests
        await _talk(client, "openai/other")
        assert (len(theirs.requests), len(model.requests)) == (2, 1)


async def test_a_new_key_counts_from_the_next_call_and_a_deleted_provider_is_used_no_more(
    door: Door, model: ScriptedModel, theirs: ScriptedModel
) -> None:
    async with door.client() as client:
        made = await client.providers.create("mine", theirs.url, KEY)
        await _talk(client, "mine/m")
        changed = await client.providers.update(made.id, api_key=NEW_KEY)
        assert changed.api_key_hint == "2222"
        await _talk(client, "mine/m")
        assert theirs.authorizations == [f"Bearer {KEY}", f"Bearer {NEW_KEY}"]
        await client.providers.delete(made.id)
        await _talk(client, "mine/m")
        assert (len(theirs.requests), len(model.requests)) == (2, 1)


async def test_an_agent_without_a_model_is_shown_with_the_one_that_it_uses(door: Door, theirs: ScriptedModel) -> None:
    bob_key = await door.new_user("bob")
    async with door.client() as ann, door.client(bob_key) as bob, door.http(bob_key) as http:
        silent = (await http.post("/v1/agents", json={"name": "silent"})).json()
        named = (await http.post("/v1/agents", json={"name": "named", "model": "openai/other"})).json()

        async def shown() -> list[str]:
            one = (await http.get(f"/v1/agents/{silent['id']}")).json()
            changed = (await http.patch(f"/v1/agents/{silent['id']}", json={"description": "d"})).json()
            listed = {each["id"]: each["model"] for each in (await http.get("/v1/agents")).json()}
            assert one["model"] == one["llm_config"]["handle"] == changed["model"] == listed[silent["id"]]
            return [one["model"], listed[named["id"]]]

        assert await shown() == [silent["model"], "openai/other"]
        await ann.providers.create("anns", theirs.url, KEY, default_model="big", is_default=True)
        assert await shown() == [silent["model"], "openai/other"]
        mine = await bob.providers.create("mine", theirs.url, KEY, default_model="big", is_default=True)
        assert await shown() == ["mine/big", "openai/other"]
        assert (await http.post("/v1/agents", json={})).json()["model"] == "mine/big"
        await bob.providers.delete(mine.id)
        assert await shown() == [silent["model"], "openai/other"]


async def test_agents_without_a_model_use_the_users_default_then_the_accounts_then_the_servers(
    door: Door, model: ScriptedModel, theirs: ScriptedModel
) -> None:
    bob_key = await door.new_user("bob")
    async with door.client(user=ACCOUNT) as account, door.client(bob_key) as bob:
        agent = await bob.agents.create()

        async def asked() -> tuple[list[str], int]:
            """Which of its models the providers' endpoint was asked for, and how often the server's was."""
            theirs.reset()
            model.reset()
            await bob.turns.send(agent.id, "hello")
            return [request["model"] for request in theirs.requests], len(model.requests)

        assert await asked() == ([], 1)
        house = await account.providers.create("house", theirs.url, KEY, default_model="small", is_default=True)
        assert await asked() == (["small"], 0)
        assert await bob.models.default() == "house/small"
        mine = await bob.providers.create("mine", theirs.url, KEY, default_model="big")
        assert await asked() == (["small"], 0)
        await bob.providers.update(mine.id, is_default=True)
        assert await asked() == (["big"], 0)
        # A default of one's own takes the place of the one before.
        other = await bob.providers.create("other", theirs.url, KEY, default_model="huge", is_default=True)
        assert [(each.name, each.is_default) async for each in bob.providers.list()] == [
            ("mine", False),
            ("other", True),
        ]
        assert await asked() == (["huge"], 0)
        await bob.providers.delete(other.id)
        await account.providers.update(house.id, is_default=False)
        assert await asked() == ([], 1)
        # An agent that names a model keeps to it.
        await bob.providers.update(mine.id, is_default=True)
        assert await _talk(bob, MODEL) == "ok: hello"
        assert len(model.requests) == 2


async def test_a_kept_key_is_not_sent_to_another_url(door: Door, theirs: ScriptedModel) -> None:
    async with door.client() as client:
        made = await client.providers.create("mine", "http://127.0.0.1:1/v1", KEY)
        with pytest.raises(InvalidArgument, match="api_key"):
            await client.providers.update(made.id, base_url=theirs.url)
        await client.providers.update(made.id, base_url=theirs.url, api_key=NEW_KEY)
        await _talk(client, "mine/m")
        assert theirs.authorizations == [f"Bearer {NEW_KEY}"]


async def test_an_accounts_provider_serves_all_its_users_who_can_not_change_it(
    door: Door, theirs: ScriptedModel
) -> None:
    bob_key = await door.new_user("bob")
    async with door.client(user=ACCOUNT) as account, door.client(bob_key) as bob, door.http(bob_key) as http:
        me = await account.users.me()
        assert (me.user.id, me.account_id) == (ACCOUNT, "default")
        made = await account.providers.create("team", theirs.url, KEY, models=["m"])
        assert await _talk(bob, "team/m") == "ok: hello"
        assert [each.id async for each in bob.providers.list(shared=True)] == [made.id]
        assert not [each async for each in bob.providers.list()]
        assert (await bob.providers.get(made.id)).shared
        with pytest.raises(PermissionDenied, match="account"):
            await bob.providers.update(made.id, api_key=NEW_KEY)
        with pytest.raises(PermissionDenied, match="account"):
            await bob.providers.delete(made.id)
        with pytest.raises(TurnFailed, match="no model other"):
            await _talk(bob, "team/other")
        # A user's own of the name comes first.
        own = await bob.providers.create("team", theirs.url, NEW_KEY)
        await _talk(bob, "team/m")
        assert theirs.authorizations[-1] == f"Bearer {NEW_KEY}"
        assert own.id != made.id
        listed = (await http.get("/v1/models/")).json()
        assert f"team/{MODEL}" in [each["handle"] for each in listed]


async def test_another_accounts_provider_is_as_if_it_were_not_there(door: Door, theirs: ScriptedModel) -> None:
    async with door.client() as operator:
        other = (await operator.accounts.create("acme")).secret
    async with door.client(other, user=ACCOUNT) as acme, door.client() as client:
        made = await acme.providers.create("team", theirs.url, KEY)
        for call in (client.providers.get, client.providers.delete):
            with pytest.raises(NotFound, match=f"Provider with ID {made.id} not found"):
                await call(made.id)
        await _talk(client, "team/m")
        assert not theirs.requests


async def test_only_admins_and_applications_act_for_the_account(door: Door) -> None:
    user_key = await door.new_user("bob")
    async with door.client() as admin:
        application = (await admin.keys.create(kind=gateway_pb2.KEY_KIND_APPLICATION)).secret
        await admin.users.create("eve")
        eve_key = (await admin.keys.create("eve", kind=gateway_pb2.KEY_KIND_ADMIN)).secret
        async with door.client(application, user=ACCOUNT) as client:
            assert (await client.users.me()).user.id == ACCOUNT
        async with door.client(user_key, user=ACCOUNT) as client:
            with pytest.raises(PermissionDenied):
                await client.users.me()
        async with door.client(eve_key, user=ACCOUNT) as eve:
            await eve.users.me()
            await admin.users.update("eve", disabled=True)
            with pytest.raises(PermissionDenied, match="disabled"):
                await eve.users.me()


async def test_no_key_is_in_an_answer_a_log_the_journal_or_the_store(
    door: Door, theirs: ScriptedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Some endpoints repeat the key that they refuse.
    theirs.refusals = {"messages": f"Incorrect API key provided: {KEY}"}
    async with door.client() as client, door.http() as http:
        body = {"name": "mine", "base_url": theirs.url, "api_key": KEY}
        created = await http.post("/v1/model-providers", json=body)
        provider_id = created.json()["provider"]["id"]
        agent = await client.agents.create(model="mine/m")
        with pytest.raises(TurnFailed, match="Incorrect API key provided: …"):
            await client.turns.send(agent.id, "hello")
        turns = (await http.get("/v1/runs", params={"agent_id": agent.id})).text
        read = await http.get(f"/v1/model-providers/{provider_id}")
        exported = b"".join([piece async for piece in client.users.export()])
        answers = [created.text, turns, read.text, (await http.get("/v1/model-providers")).text]
        answers.append((await http.patch(f"/v1/model-providers/{provider_id}", json={"models": ["a"]})).text)
    assert theirs.authorizations == [f"Bearer {KEY}"]
    assert all(provider_id in answer for answer in (created.text, read.text))
    assert KEY not in "".join(answers)
    assert KEY not in capsys.readouterr().out
    assert KEY.encode() not in exported
    assert not [file for file in _files(tmp_path) if KEY.encode() in file.read_bytes()]


async def test_a_replay_is_known_without_a_hash_that_a_key_could_be_guessed_from(
    door: Door, theirs: ScriptedModel, tmp_path: Path
) -> None:
    wanted = provider_pb2.Provider(name="mine", base_url=theirs.url, api_key="hunter2")
    request = provider_pb2.CreateProviderRequest(provider=wanted, request_id="r")
    async with door.client() as client:
        made = await client.providers.create("mine", theirs.url, "hunter2", request_id="r")
        assert await client.providers.create("mine", theirs.url, "hunter2", request_id="r") == made
        with pytest.raises(FailedPrecondition):
            await client.providers.create("mine", theirs.url, "hunter3", request_id="r")
    assert not [file for file in _files(tmp_path) if digest(request).encode() in file.read_bytes()]


def _files(folder: Path) -> list[Path]:
    files = list(folder.glob("*.db*"))
    assert files
    return files


async def test_names_urls_and_fields_are_checked(door: Door, theirs: ScriptedModel) -> None:
    async with door.client() as client:
        made = await client.providers.create("mine", theirs.url, "short")
        assert made.api_key_hint == ""
        with pytest.raises(AlreadyExists):
            await client.providers.create("mine", theirs.url)
        for name, url, key in (
            ("a/b", theirs.url, ""),
            ("", theirs.url, ""),
            ("other", "ftp://x/v1", ""),
            ("other", "http://user:pw@127.0.0.1/v1", ""),
            ("other", theirs.url, "two\nlines"),
        ):
            with pytest.raises(InvalidArgument):
                await client.providers.create(name, url, key)
        with pytest.raises(InvalidArgument, match="one of the models"):
            await client.providers.update(made.id, models=["a"], default_model="b")
        with pytest.raises(InvalidArgument, match="update_mask"):
            await client.providers.update(made.id, shared=True)


async def test_without_the_setting_no_provider_leads_into_this_network(
    tmp_path: Path, model: ScriptedModel, theirs: ScriptedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    async with opened(tmp_path, capsys, model_url=model.url, more=PRIVATE) as door, door.client() as client:
        await client.providers.create("inside", theirs.url, KEY)
    async with opened(tmp_path, capsys, model_url=model.url) as door, door.client() as client:
        for url in (theirs.url, "http://169.254.169.254/v1", "http://[::1]/v1", "http://localhost/v1"):
            with pytest.raises(InvalidArgument, match="not a public one"):
                await client.providers.create("other", url, KEY)
        # What was made while it was allowed is refused at the call.
        agent = await client.agents.create(model="inside/m")
        with pytest.raises(TurnFailed) as failed:
            await client.turns.send(agent.id, "hello")
        assert failed.value.reason == type_pb2.ERROR_REASON_MODEL_UNAVAILABLE
    assert not theirs.requests


async def test_another_secret_refuses_to_start_and_with_the_former_one_encrypts_anew(
    tmp_path: Path, model: ScriptedModel, theirs: ScriptedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    from servicekit.sql import StoreError

    first, second = tmp_path / "first.secret", tmp_path / "second.secret"
    first.write_text("a secret of the agent service")
    second.write_text("another secret of the agent service")
    own = {**PRIVATE, "TRIPTYCH_AGENT_SECRET_FILE": str(first)}
    new = {**PRIVATE, "TRIPTYCH_AGENT_SECRET_FILE": str(second)}
    async with opened(tmp_path, capsys, model_url=model.url, more=own) as door, door.client() as client:
        await client.providers.create("mine", theirs.url, KEY)
    with pytest.raises(StoreError, match="TRIPTYCH_AGENT_FORMER_SECRET_FILE"):
        async with opened(tmp_path, capsys, *ALL, model_url=model.url, more=new):
            pass
    both = {**new, "TRIPTYCH_AGENT_FORMER_SECRET_FILE": str(first)}
    async with opened(tmp_path, capsys, model_url=model.url, more=both) as door, door.client() as client:
        await _talk(client, "mine/m")
    async with opened(tmp_path, capsys, model_url=model.url, more=new) as door, door.client() as client:
        await _talk(client, "mine/m")
    assert theirs.authorizations == [f"Bearer {KEY}"] * 2


async def test_a_key_can_not_be_moved_to_another_row(door: Door, theirs: ScriptedModel, tmp_path: Path) -> None:
    bob_key = await door.new_user("bob")
    async with door.client() as client, door.client(bob_key) as bob:
        victim = await client.providers.create("mine", theirs.url, KEY)
        thief = await bob.providers.create("mine", theirs.url, NEW_KEY)
        with sqlite3.connect(tmp_path / "agent.db") as store:
            sealed = store.execute("SELECT sealed FROM model_providers WHERE id = ?", (victim.id,)).fetchone()
            store.execute("UPDATE model_providers SET sealed = ? WHERE id = ?", (*sealed, thief.id))
        store.close()
        with pytest.raises(TurnFailed, match="can't be decrypted"):
            await _talk(bob, "mine/m")
    assert not theirs.requests


def test_a_message_of_the_contract_has_no_field_that_shows_a_key() -> None:
    fields = {field.name for field in provider_pb2.Provider.DESCRIPTOR.fields}
    assert {name for name in fields if "key" in name} == {"api_key", "api_key_hint"}
