"""The audit log: every write, by whom, on what; chained; without a word of what was said."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.stores.audit import Event, chained
from servicekit.principal import Tenant
from tests.support.door import Door, opened
from tests.support.scripted_model import ScriptedModel
from triptych.errors import NotFound
from triptych.gateway.v1 import gateway_pb2 as pb


@pytest.fixture
async def door(tmp_path: Path, model: ScriptedModel, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Door]:
    async with opened(tmp_path, capsys, model_url=model.url) as opened_door:
        yield opened_door


async def _events(door: Door, user: str = "") -> list[pb.AuditEvent]:
    async with door.client() as admin:
        return [event async for event in admin.audit.list(user)]


async def test_writes_by_both_ways_in_are_noted_with_who_and_what_and_no_words(door: Door) -> None:
    async with door.client() as client, door.http() as http:
        agent = await client.agents.create("Pavarotti", blocks={"human": "Pavarotti"})
        await client.turns.send(agent.id, "Pavarotti")
        await http.post("/v1/messages/search", json={"query": "Pavarotti"})
        await http.patch(f"/v1/agents/{agent.id}", json={"description": "Pavarotti"})
        made = (await http.post("/v1/blocks", json={"label": "Pavarotti", "value": "Pavarotti"})).json()
        await http.delete(f"/v1/blocks/{made['id']}")
        assert (await http.delete("/v1/agents/Pavarotti")).status_code == 404
        with pytest.raises(NotFound):
            await client.agents.delete("agent-00000000-0000-0000-0000-000000000000")
        me = await client.users.me()
        events = await _events(door)
        (key_id,) = [key.id async for key in client.keys.list()]
    assert {event.key_id for event in events} == {key_id}
    assert {event.user_id for event in events} == {me.user.id}
    assert [(event.action, event.outcome) for event in events] == [
        ("AgentService/CreateAgent", "OK"),
        ("TurnService/StartTurn", "OK"),
        ("PATCH /v1/agents/{agent_id}", "OK"),
        ("POST /v1/blocks", "OK"),
        ("DELETE /v1/blocks/{block_id}", "OK"),
        ("DELETE /v1/agents/{agent_id}", "404"),
        ("AgentService/DeleteAgent", "NOT_FOUND"),
    ]
    created, _, patched, block_made, block_gone, _, _ = events
    assert agent.id in created.resources
    assert agent.id in patched.resources
    assert made["id"] in block_made.resources
    assert made["id"] in block_gone.resources
    assert "Pavarotti" not in str(events)


async def test_what_a_session_does_is_noted_as_what_is_done_without_one(door: Door) -> None:
    missing = "agent-00000000-0000-0000-0000-000000000000"
    async with door.client() as client:
        agent = await client.agents.create("Pavarotti")
        async with client.session() as session:
            await session.send(agent.id, "Pavarotti")
            with pytest.raises(NotFound):
                await session.send(missing, "Pavarotti")
        noted = [event for event in await _events(door) if event.action.startswith("TurnService/")]
    assert [(event.action, event.outcome) for event in noted] == [
        ("TurnService/StartTurn", "OK"),
        ("TurnService/StartTurn", "NOT_FOUND"),
    ]
    assert agent.id in noted[0].resources
    assert list(noted[1].resources) == [missing]
    assert "Pavarotti" not in str(noted)


async def test_what_admins_do_names_whom_they_did_it_to(door: Door) -> None:
    """By name too: a name is no id, and what it stands for may be gone by the time the log is read."""
    async with door.client() as admin, door.http() as http:
        bob = await admin.users.create("bob")
        eve = (await http.post("/v1/admin/users", json={"name": "eve"})).json()["user"]["id"]
        key = (await http.post("/v1/admin/keys", json={"user_id": "bob", "kind": "KEY_KIND_USER"})).json()["key"]["id"]
        await admin.users.set_limits("bob", pb.Limits(live_turns=3))
        await http.put("/v1/admin/users/bob/limits", json={"limits": {"live_turns": 2}})
        await admin.users.update("bob", disabled=True)
        _ = [piece async for piece in admin.users.export("bob")]
        await http.get("/v1/admin/users/bob/export")
        await http.post(f"/v1/admin/keys/{key}/rotate", json={})
        await admin.users.delete("bob")
        await http.delete("/v1/admin/users/eve")
        done = [(event.action, set(event.resources)) for event in await _events(door)]
    assert all(bob.id in whom or eve in whom for _, whom in done)
    assert [action for action, _ in done] == [
        "GatewayService/CreateUser",
        "POST /v1/admin/users",
        "POST /v1/admin/keys",
        "GatewayService/SetLimits",
        "PUT /v1/admin/users/{user_id}/limits",
        "GatewayService/UpdateUser",
        "GatewayService/ExportUser",
        "GET /v1/admin/users/{user_id}/export",
        "POST /v1/admin/keys/{key_id}/rotate",
        "GatewayService/DeleteUser",
        "DELETE /v1/admin/users/{user_id}",
    ]


async def test_the_chain_shows_what_was_altered_or_left_out(door: Door) -> None:
    async with door.client() as admin:
        for name in ("bob", "carol", "dave"):
            await admin.users.create(name)
    events = await _events(door)
    assert [event.sequence for event in events] == [1, 2, 3]
    before = "0" * 64
    for event in events:
        content = Event(
            Tenant("default", event.user_id),
            event.create_time.ToMicroseconds(),
            event.key_id,
            event.action,
            tuple(event.resources),
            event.outcome,
        )
        assert chained(before, event.sequence, content) == event.digest
        before = event.digest


async def test_the_log_is_the_accounts_own_and_paged(door: Door) -> None:
    async with door.client() as operator:
        other = await operator.accounts.create("other")
        await operator.users.create("bob")
    async with door.http(other.secret) as http:
        await http.post("/v1/admin/users", json={"name": "eve"})
        page = (await http.get("/v1/admin/audit", params={"page_size": 1})).json()
        assert [event["action"] for event in page["events"]] == ["POST /v1/admin/users"]
        assert page["next_page_token"] == ""
    assert len(await _events(door)) == 2
    assert await _events(door, "bob") == []
