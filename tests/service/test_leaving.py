"""A user's data comes out whole, and goes away whole, in all tiers, through crashes too."""

from __future__ import annotations

import asyncio
import io
import json
import sqlite3
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.leaving import eraser
from servicekit.principal import Principal, Tenant
from tests.support.door import Door, opened
from tests.support.recall import batch, eventually
from tests.support.scripted_model import ScriptedModel
from triptych.agent.v1 import agent_pb2
from triptych.agent.v1.agent_pb2_grpc import AgentServiceStub
from triptych.errors import FailedPrecondition, NotFound, PermissionDenied, Unauthenticated
from triptych.recall.v1.recall_pb2_grpc import RecallServiceStub

WORDS = "Pavarotti sings"
STORES = ("agent.db", "recall.db", "archival.db", "gateway.db")


@pytest.fixture
async def door(tmp_path: Path, model: ScriptedModel, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Door]:
    async with opened(tmp_path, capsys, model_url=model.url) as opened_door:
        yield opened_door


async def _user(door: Door, name: str) -> str:
    """A user with something in every tier; its key."""
    async with door.client() as admin:
        await admin.users.create(name)
        key = (await admin.keys.create(name)).secret
    async with door.client(key) as client, door.http(key) as http:
        agent = await client.agents.create(name, blocks={"human": WORDS})
        await client.turns.send(agent.id, WORDS)
        await client.providers.create("own", "https://1.1.1.1/v1", "sk-the-key-of-a-provider")
        await http.post(f"/v1/agents/{agent.id}/archival-memory", json={"text": WORDS})
        await client.tools.create_client_tool("wire", WORDS, {"type": "object", "properties": {}})
        await http.post("/v1/groups", json={"agent_ids": [agent.id], "description": WORDS})
    return key


def _rows(folder: Path, user_id: str) -> dict[str, int]:
    """In which tables of which stores rows of the user are left."""
    left: dict[str, int] = {}
    for name in STORES:
        store = sqlite3.connect(folder / name)
        for (table,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            columns = [row[1] for row in store.execute(f"PRAGMA table_info({table})")]
            if "user_id" in columns:
                query = f"SELECT count(*) FROM {table} WHERE user_id = ?"
                (left[f"{name}.{table}"],) = store.execute(query, (user_id,)).fetchone()
        store.close()
    return {table: count for table, count in left.items() if count}


async def test_an_export_holds_everything_of_the_user_and_nothing_of_others(door: Door) -> None:
    key = await _user(door, "bob")
    await _user(door, "carol")
    async with door.client(key) as bob, door.http(key) as http:
        raw = b"".join([piece async for piece in bob.users.export()])
        by_rest = (await http.get("/v1/export")).content
        with pytest.raises(PermissionDenied):
            await anext(bob.users.export("carol"))
        assert (await http.get("/v1/admin/users/carol/export")).status_code == 403
    async with door.http() as http:
        assert (await http.get("/v1/admin/users/nobody/export")).status_code == 404
    for archive in (raw, by_rest):
        files = _files(archive)
        assert files["user"][0]["name"] == "bob"
        assert [each["name"] for each in files["agents"]] == ["bob"]
        assert [each["text"] for each in files["messages"]] == [WORDS, f"ok: {WORDS}"]
        assert [each["text"] for each in files["passages"]] == [WORDS]
        assert WORDS in [each["value"] for each in files["blocks"]]
        # The other conversation is the agent's in the group.
        assert (len(files["turns"]), len(files["archives"]), len(files["conversations"])) == (1, 1, 2)
        assert [each["name"] for each in files["providers"]] == ["own"]
        assert [each["name"] for each in files["tools"]] == ["wire"]
        assert [each["value"] for each in files["block_revisions"]] == [WORDS]
        assert [each["settings"]["description"] for each in files["groups"]] == [WORDS]
        assert "carol" not in str(files)
        assert "sk-the-key" not in str(files)


def _files(archive: bytes) -> dict[str, list[dict[str, Any]]]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened_archive:
        assert opened_archive.testzip() is None
        return {
            name.partition(".")[0]: [json.loads(line) for line in opened_archive.read(name).splitlines()]
            for name in opened_archive.namelist()
        }


async def _more(door: Door, key: str) -> None:
    """What the user has beside: an identity, a batch that is over, and a group."""
    async with door.http(key) as http:
        agent_id = (await http.get("/v1/agents")).json()[0]["id"]
        identity = {"identifier_key": "k", "name": WORDS, "agent_ids": [agent_id]}
        assert (await http.post("/v1/identities", json=identity)).status_code == 200
        batch = {"requests": [{"agent_id": agent_id, "input": WORDS}]}
        path = f"/v1/messages/batches/{(await http.post('/v1/messages/batches', json=batch)).json()['id']}"
        await eventually(lambda: http.get(path), lambda got: bool(got.json()["completed_at"]))
        group = (await http.post("/v1/groups", json={"agent_ids": [agent_id], "description": WORDS})).json()
        sent = await http.post(f"/v1/groups/{group['id']}/messages", json={"input": WORDS})
        assert sent.status_code == 200


async def test_an_export_has_batches_and_what_the_user_said_of_steps(door: Door) -> None:
    key = await _user(door, "bob")
    await _more(door, key)
    async with door.client(key) as bob, door.http(key) as http:
        step_id = (await http.get("/v1/steps")).json()[0]["id"]
        assert (await http.patch(f"/v1/steps/{step_id}/feedback", json={"feedback": "positive"})).status_code == 200
        files = _files(b"".join([piece async for piece in bob.users.export()]))
    assert len(files["steps"]) == len(files["turns"])
    assert ["positive" in str(each).lower() for each in files["steps"] if each["id"] == step_id] == [True]
    (batch,) = files["batches"]
    assert [turn["state"] for turn in batch["turns"]] == ["COMPLETED"]
    assert batch["turns"][0]["turn_id"] in [each["id"] for each in files["turns"]]


async def test_an_erased_user_is_gone_from_all_tiers_and_others_are_not(door: Door, tmp_path: Path) -> None:
    bob_key, carol_key = await _user(door, "bob"), await _user(door, "carol")
    await _more(door, bob_key)
    async with door.client() as admin:
        bob = await admin.users.get("bob")
        erasure = await admin.users.delete("bob")
        assert erasure.HasField("end_time")
        removed = dict(erasure.removed)
        assert (removed["core.agents"], removed["recall.messages"], removed["archival.passages"]) == (1, 6, 1)
        assert (removed["core.identities"], removed["access.batches"], removed["access.groups"]) == (1, 2, 6)
        assert (removed["access.users"], removed["access.keys"], removed["core.model_providers"]) == (1, 1, 1)
        # Asked again, it is the same receipt.
        assert (await admin.users.delete(bob.id)).removed == erasure.removed
        assert (await admin.users.erasure(bob.id)).id == erasure.id
        with pytest.raises(NotFound):
            await admin.users.get("bob")
        with pytest.raises(FailedPrecondition):
            await admin.users.delete("default")
    left = _rows(tmp_path, bob.id)
    # The receipt, who did what, and the answers to the erasure's own requests: ids and numbers.
    assert left.keys() <= {"gateway.db.erasures", "gateway.db.audit"} | {
        table for table in left if table.endswith((".requests", ".purges"))
    }
    async with door.client(bob_key) as gone:
        with pytest.raises(Unauthenticated):
            await gone.agents.count()
    async with door.client(carol_key) as carol:
        assert await carol.agents.count() == 1


async def test_an_erasure_that_a_crash_cut_off_goes_on_and_its_receipt_is_whole(
    tmp_path: Path, model: ScriptedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    tiers = ("recall_service", "archival_service", "agent_service", "gateway")
    async with opened(tmp_path, capsys, *tiers, model_url=model.url) as door:
        await _user(door, "bob")
        async with door.client() as admin:
            bob = await admin.users.get("bob")
    # Archival is away, so the erasure stops after two tiers, and then everything stops.
    async with (
        opened(tmp_path, capsys, "recall_service", "agent_service", "gateway", model_url=model.url) as door,
        door.http() as http,
    ):
        begun = (await http.delete("/v1/admin/users/bob")).json()["erasure"]
        assert not begun.get("end_time")
        assert (await http.patch("/v1/admin/users/bob", json={"metadata": {}})).json()["user"]["disabled"]
    async with opened(tmp_path, capsys, *tiers, model_url=model.url) as door, door.client() as admin:
        erasure = await admin.users.delete(bob.id)
        assert erasure.HasField("end_time")
        assert (erasure.removed["core.agents"], erasure.removed["recall.messages"]) == (1, 2)
        assert erasure.removed["archival.passages"] == 1
    assert not [table for table in _rows(tmp_path, bob.id) if table.endswith((".agents", ".messages", ".passages"))]


async def test_what_a_call_that_was_under_way_writes_behind_an_erasure_goes_too_and_is_counted(
    tmp_path: Path, model: ScriptedModel, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eraser, "_SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(eraser, "_GRACE_SECONDS", 1e6)
    async with opened(tmp_path, capsys, model_url=model.url) as door, door.client() as admin:
        await _user(door, "bob")
        bob = await admin.users.get("bob")
        erased = await admin.users.delete("bob")
        assert erased.HasField("end_time")
        late = Principal(Tenant("default", bob.id))
        agents, recall = door.stack.peer("agent_service"), door.stack.peer("recall_service")
        make = agent_pb2.CreateAgentRequest(agent=agent_pb2.Agent(name="late"))
        made = (await agents.unary(AgentServiceStub(agents.channel).CreateAgent, make, caller=late)).agent
        append = batch("late", agent=made.id, conversation=made.default_conversation_id)
        await recall.unary(RecallServiceStub(recall.channel).AppendMessages, append, caller=late)
        await asyncio.sleep(0.3)
        assert (await admin.users.erasure(bob.id)).removed == erased.removed  # it may not be over yet
        monkeypatch.setattr(eraser, "_GRACE_SECONDS", 0.0)

        async def agents_removed() -> int:
            return (await admin.users.erasure(bob.id)).removed["core.agents"]

        assert await eventually(agents_removed, (1).__lt__) == 2
        await asyncio.sleep(0.3)
        receipt = await admin.users.erasure(bob.id)
        assert receipt.removed["recall.messages"] == erased.removed["recall.messages"] + 1
        assert (receipt.end_time, receipt.removed["access.users"]) == (erased.end_time, 1)
    assert not [table for table in _rows(tmp_path, bob.id) if table.endswith((".agents", ".messages", ".passages"))]


async def test_a_request_whose_body_comes_after_the_erasure_writes_nothing(door: Door, tmp_path: Path) -> None:
    async with door.client() as admin, door.http() as http:
        bob = await admin.users.create("bob")
        key = (await admin.keys.create("bob")).secret
        begun, erased = asyncio.Event(), asyncio.Event()

        async def body() -> AsyncIterator[bytes]:
            yield b'{"messages": [{"content": "'
            begun.set()
            await erased.wait()
            yield b'hello"}], "facts": ["a fact"]}'

        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        sending = asyncio.create_task(http.post("/v1/memory/add", content=body(), headers=headers))
        await begun.wait()
        await asyncio.sleep(0.2)  # so that the gateway has the head
        assert (await admin.users.delete("bob")).HasField("end_time")
        erased.set()
        assert (await sending).status_code == 401
    assert not [table for table in _rows(tmp_path, bob.id) if table.endswith((".messages", ".passages"))]
