"""What users may use: refused with when to come back, counted by the services, set by admins."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.door import Door, opened
from tests.support.recall import eventually
from tests.support.scripted_model import ScriptedModel
from triptych.errors import ResourceExhausted


@pytest.fixture
async def door(tmp_path: Path, model: ScriptedModel, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Door]:
    async with opened(tmp_path, capsys, model_url=model.url) as opened_door:
        yield opened_door


@pytest.fixture
def counted_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is stored is counted whenever it is asked for, and not for a share of the time."""
    monkeypatch.setattr("gateway.usage.book._COUNT_SHARE", 0)


async def _user(door: Door, name: str, **limits: Any) -> str:
    """A new user's key."""
    async with door.client() as admin, door.http() as http:
        await admin.users.create(name)
        assert (await http.put(f"/v1/admin/users/{name}/limits", json={"limits": limits})).status_code == 200
        return (await admin.keys.create(name)).secret


async def test_too_many_requests_in_a_second_are_told_when_to_come_back(door: Door) -> None:
    key = await _user(door, "bob", requests_per_second=2)
    async with door.client(key) as bob, door.http(key) as http:
        with pytest.raises(ResourceExhausted) as caught:
            await asyncio.gather(*(bob.agents.count() for _ in range(4)))
        assert caught.value.metadata["limit"] == "requests_per_second"
        assert 0 < (caught.value.retry_seconds or 0) <= 0.5
        refused = await http.get("/v1/agents/count")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    async with door.client() as other:
        assert await other.agents.count() == 0


async def test_the_smallest_rate_there_is_says_when_to_come_back_too(door: Door) -> None:
    key = await _user(door, "bob", requests_per_second=1e-300)
    async with door.client(key) as bob:
        await bob.agents.count()
        with pytest.raises(ResourceExhausted) as caught:
            await bob.agents.count()
        assert (caught.value.retry_seconds or 0) >= 3600


async def test_tokens_of_a_turn_are_counted_and_a_day_has_so_many(door: Door) -> None:
    key = await _user(door, "bob", tokens_per_day=1)
    async with door.client(key) as bob, door.http(key) as http:
        agent = await bob.agents.create("a")
        reply = await bob.turns.send(agent.id, "hello")
        usage = (await http.get("/v1/usage")).json()
        assert int(usage["tokens_today"]) == reply.usage.total_tokens > 0
        assert int(usage["stored_bytes"]) > len("hello")
        with pytest.raises(ResourceExhausted) as caught:
            await bob.turns.send(agent.id, "again")
        assert caught.value.metadata["limit"] == "tokens_per_day"
        refused = await http.post(f"/v1/agents/{agent.id}/messages", json={"input": "again"})
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 1
        # Reading goes on.
        assert len((await http.get(f"/v1/agents/{agent.id}/messages")).json()) == 2


async def test_a_turn_by_rest_is_counted_too(door: Door) -> None:
    async with door.http() as http:
        agent_id = (await http.post("/v1/agents/", json={"name": "a"})).json()["id"]
        reply = (await http.post(f"/v1/agents/{agent_id}/messages", json={"input": "hello"})).json()
        usage = (await http.get("/v1/usage")).json()
        assert int(usage["tokens_today"]) == reply["usage"]["total_tokens"] > 0


async def test_turns_at_once_are_bounded_and_free_when_they_end(door: Door, model: ScriptedModel) -> None:
    key = await _user(door, "bob", live_turns=1)
    async with door.client(key) as bob:
        first, second = await bob.agents.create("a"), await bob.agents.create("b")
        events = bob.turns.stream(first.id, "[[wait]]")
        await anext(events)
        with pytest.raises(ResourceExhausted) as caught:
            await bob.turns.send(second.id, "hello")
        assert caught.value.metadata["limit"] == "live_turns"
        model.release()
        async for _ in events:
            pass
        assert (await bob.turns.send(second.id, "hello")).text == "ok: hello"


_LOOK = {"name": "look", "description": "d", "parameters": {"type": "object", "properties": {}}}


async def _limited(door: Door, name: str, **limits: Any) -> None:
    async with door.http() as http:
        assert (await http.put(f"/v1/admin/users/{name}/limits", json={"limits": limits})).status_code == 200


async def test_tokens_count_when_the_model_has_answered_and_none_are_left_to_go_on_with(door: Door) -> None:
    key = await _user(door, "bob")
    async with door.client(key) as bob, door.http(key) as http:
        agent_id = (await http.post("/v1/agents", json={"name": "a"})).json()["id"]
        asked = {"input": "[[call:look {}]] hello", "client_tools": [_LOOK]}
        waits = (await http.post(f"/v1/agents/{agent_id}/messages", json=asked)).json()
        assert waits["stop_reason"]["stop_reason"] == "requires_approval"
        assert (await bob.users.usage()).tokens_today == waits["usage"]["total_tokens"] > 0
        turn = await anext(aiter(bob.turns.list(agent_id=agent_id)))
        await _limited(door, "bob", tokens_per_day=1)
        with pytest.raises(ResourceExhausted):
            await bob.turns.continue_turn(turn.id, returns={turn.pending_calls[0].call.id: "seen"})
        await _limited(door, "bob")
        await bob.turns.continue_turn(turn.id, returns={turn.pending_calls[0].call.id: "seen"})
        assert (await bob.users.usage()).tokens_today == (await bob.turns.get(turn.id)).usage.total_tokens


async def test_a_summary_that_is_asked_for_costs_tokens_too(door: Door) -> None:
    key = await _user(door, "bob")
    async with door.client(key) as bob, door.http(key) as http:
        agent = await bob.agents.create("a")
        for _ in range(3):
            await bob.turns.send(agent.id, "hello " * 500)
        before = (await bob.users.usage()).tokens_today
        assert (await http.post(f"/v1/agents/{agent.id}/summarize", json={})).json()["summary"]
        assert (await bob.users.usage()).tokens_today > before
        await _limited(door, "bob", tokens_per_day=1)
        assert (await http.post(f"/v1/agents/{agent.id}/summarize", json={})).status_code == 429


async def test_who_has_stored_enough_stores_no_more_by_any_way(door: Door) -> None:
    key = await _user(door, "bob")
    async with door.http(key) as http:
        agent_id = (await http.post("/v1/agents", json={"name": "a", "system": "s" * 2_000})).json()["id"]
        made = await http.post("/v1/conversations", json={}, params={"agent_id": agent_id})
        await _limited(door, "bob", stored_bytes=100)
        tool = {"name": "t", "json_schema": {"name": "t", "parameters": {"type": "object"}}}
        run = f"/v1/agents/{agent_id}/tools/archival_memory_insert/run"
        for method, path, body in (
            ("POST", f"/v1/conversations/{made.json()['id']}/fork", {}),
            ("POST", run, {"args": {"content": "a fact"}}),
            ("PUT", "/v1/tools", tool),
            ("PUT", "/v1/identities", {"identifier_key": "k", "name": "n"}),
        ):
            assert (await http.request(method, path, json=body)).status_code == 429, path
        assert (await http.delete(f"/v1/agents/{agent_id}")).status_code in (200, 204)


async def test_who_has_stored_enough_stores_no_more_and_still_reads(door: Door) -> None:
    key = await _user(door, "bob", stored_bytes=100)
    async with door.http(key) as http:
        assert (await http.get("/v1/usage")).json()["stored_bytes"] == "0"
        archive_id = (await http.post("/v1/archives", json={"name": "a"})).json()["id"]
        fact = {"text": "a fact " * 20}
        assert (await http.post(f"/v1/archives/{archive_id}/passages", json=fact)).status_code == 200
        refused = await http.post(f"/v1/archives/{archive_id}/passages", json=fact)
        assert (refused.status_code, "stored bytes" in refused.json()["detail"]) == (429, True)
        assert (await http.get(f"/v1/archives/{archive_id}")).status_code == 200
        assert (await http.delete(f"/v1/archives/{archive_id}")).status_code == 204
        # What was deleted counts no more.
        made = await eventually(lambda: http.post("/v1/archives", json={"name": "b"}), lambda got: not got.is_error)
        archive_id = made.json()["id"]
        assert (await http.post(f"/v1/archives/{archive_id}/passages", json=fact)).status_code == 200


@pytest.mark.usefixtures("counted_each_time")
async def test_what_is_deleted_in_any_tier_is_no_longer_counted(door: Door, tmp_path: Path) -> None:
    text = "ü" * 500
    (tmp_path / "a.txt").write_text(text)
    async with door.client() as client:

        async def stored() -> int:
            return (await client.users.usage()).stored_bytes

        async def shrinks(before: int, by: int) -> int:
            return await eventually(stored, lambda now: now <= before - by)

        block = await client.blocks.create("notes", text)
        agent = await client.agents.create("a", blocks={"human": text})
        await client.turns.send(agent.id, text)
        archive = await client.archives.create("b")
        passages = await client.archives.insert(archive.id, [text])
        document = (await client.documents.add(tmp_path / "a.txt", archive.id)).document
        # All of it, each text in UTF-8: two blocks, the message and its answer, two passages; and little else.
        full = await eventually(stored, lambda now: 6 * 1_000 <= now <= 9 * 1_000)
        await client.archival.delete(passages[0].id)
        full = await shrinks(full, 1_000)
        await client.documents.delete(document.id)
        full = await shrinks(full, 1_000)
        await client.blocks.delete(block.id)
        full = await shrinks(full, 1_000)
        await client.agents.delete(agent.id)
        await shrinks(full, 3_000)


async def test_an_accounts_limits_hold_for_users_without_their_own_and_usage_survives_a_restart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with opened(tmp_path, capsys, "gateway") as door, door.http() as http:
        assert (await http.put("/v1/admin/limits", json={"limits": {"live_turns": 3}})).status_code == 200
        assert (await http.put("/v1/admin/limits", json={"limits": {"live_turns": -3}})).status_code == 422
        limits = (await http.get("/v1/usage")).json()["limits"]
        assert (limits["live_turns"], limits["requests_per_second"]) == (3, 5000)
    async with opened(tmp_path, capsys, "gateway") as door, door.http() as http:
        usage = (await http.get("/v1/usage")).json()
        assert (usage["requests_today"], usage["limits"]["live_turns"]) == ("4", 3)
        again = await http.get("/v1/usage")
        assert again.json()["requests_today"] == "5"


@pytest.mark.usefixtures("counted_each_time")
async def test_documents_blocks_and_agents_count_as_stored_too(door: Door, tmp_path: Path) -> None:
    text, kept = "x" * 100, [0]
    (tmp_path / "a.txt").write_text(text)
    async with door.client() as client:
        archive = await client.archives.create("a")
        for step in (
            client.blocks.create("notes", text),
            client.agents.create("a", blocks={"human": text}),
            client.documents.add(tmp_path / "a.txt", archive.id),
        ):
            await step
            kept.append((await client.users.usage()).stored_bytes)
        grown = [after - before for before, after in itertools.pairwise(kept)]
        assert all(more >= len(text) for more in grown), grown
        # The same file again adds nothing.
        await client.documents.add(tmp_path / "a.txt", archive.id)
        assert (await client.users.usage()).stored_bytes == kept[-1]
