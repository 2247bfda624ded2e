"""Memory without our loop: a program that runs its own agents adds and searches, by gRPC and by REST."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.door import Door, opened
from tests.support.scripted_model import ScriptedModel
from triptych.errors import FailedPrecondition, InvalidArgument, NotFound

SAID = [
    {"role": "user", "content": "My sister Eva has moved to Lisbon."},
    {"role": "assistant", "content": "How lovely! I shall remember it."},
]


@pytest.fixture
async def door(tmp_path: Path, model: ScriptedModel, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Door]:
    async with opened(tmp_path, capsys, model_url=model.url) as made:
        yield made


async def test_what_was_said_and_what_is_known_are_found_again(door: Door) -> None:
    async with door.client() as client:
        added = await client.memory.add(SAID, facts=["Eva works at the oceanarium."], conversation_id="monday")
        assert [message.sequence for message in added.messages] == [1, 2]
        found = await client.memory.search("Where has Eva moved to?")
        assert found.messages[0].message.text == SAID[0]["content"]
        assert [hit.passage.text for hit in found.facts] == ["Eva works at the oceanarium."]
        monday = await client.memory.search("Eva", conversation_id="monday")
        assert len(monday.messages) >= 1
        assert not monday.facts
        assert not (await client.memory.search("Eva", conversation_id="tuesday")).messages


async def test_a_history_in_openais_form_goes_in_as_it_is(door: Door) -> None:
    shown = {"type": "image_url", "image_url": {"url": "https://example.org/eva.jpg"}}
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    history: list[dict[str, Any]] = [
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "This is Eva."}, shown]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "a sister", "tool_call_id": "c"},
        {"role": "assistant", "content": "How lovely!"},
    ]
    kept = ["Be kind.", "This is Eva.", "a sister", "How lovely!"]
    async with door.client() as client, door.http() as http:
        added = await client.memory.add(history)
        assert [message.text for message in added.messages] == kept
        assert list(added.messages[1].image_urls) == ["https://example.org/eva.jpg"]
        by_rest = (await http.post("/v1/memory/add", json={"messages": history})).json()["messages"]
        assert [message["content"] for message in by_rest if isinstance(message["content"], str)] == [
            kept[0],
            *kept[2:],
        ]
        with pytest.raises(InvalidArgument, match="parts"):
            await client.memory.add([{"role": "user", "content": [{"type": "input_audio"}]}])
        assert (await http.post("/v1/memory/add", json={"messages": [{"content": None}]})).status_code == 422


async def test_the_same_request_id_adds_once(door: Door) -> None:
    async with door.client() as client:
        first = await client.memory.add(SAID, facts=["A fact."], request_id="r1")
        again = await client.memory.add(SAID, facts=["A fact."], request_id="r1")
        assert first == again
        assert await client.recall.count() == 2
        assert await client.archives.count() == 1
        with pytest.raises(FailedPrecondition):
            await client.memory.add(SAID[:1], request_id="r1")


async def test_an_agent_finds_what_is_added_to_it_and_does_not_have_it_in_its_window(door: Door) -> None:
    async with door.client() as client:
        agent, other = await client.agents.create("ann"), await client.agents.create("ben")
        await client.memory.add(SAID, facts=["Eva works at the oceanarium."], agent_id=agent.id)
        assert (await client.recall.search("Eva", agent_id=agent.id))[0].message.text == SAID[0]["content"]
        assert (await client.archival.search(agent, "oceanarium"))[0].passage.text == "Eva works at the oceanarium."
        assert not (await client.agents.context(agent.id)).messages
        elsewhere = await client.memory.search("Eva", agent_id=other.id)
        assert (list(elsewhere.messages), list(elsewhere.facts)) == ([], [])


async def test_another_users_memory_is_never_found(door: Door) -> None:
    key = await door.new_user("bob")
    async with door.client() as client, door.client(key) as bob:
        agent = await client.agents.create("ann")
        await client.memory.add(SAID, facts=["Eva works at the oceanarium."], conversation_id="monday")
        for where in ({}, {"conversation_id": "monday"}):
            found = await bob.memory.search("Eva", **where)
            assert (list(found.messages), list(found.facts)) == ([], [])
        for call in (bob.memory.add(SAID, agent_id=agent.id), bob.memory.search("Eva", agent_id=agent.id)):
            with pytest.raises(NotFound):
                await call


async def test_what_can_not_be_kept_is_refused(door: Door) -> None:
    async with door.client() as client:
        for call in (
            client.memory.add(),
            client.memory.add([{"role": "robot", "content": "beep"}]),
            client.memory.add(SAID, conversation_id="x" * 201),
            client.memory.search("Eva", limit=101),
        ):
            with pytest.raises(InvalidArgument):
                await call


async def test_rest_is_the_same_memory_and_is_documented(door: Door) -> None:
    async with door.http() as http, door.client() as client:
        body = {"messages": SAID, "facts": ["A fact.", {"text": "Eva dives in Lisbon.", "tags": ["family"]}]}
        first = await http.post("/v1/memory/add", json=body, headers={"Idempotency-Key": "k"})
        again = await http.post("/v1/memory/add", json=body, headers={"Idempotency-Key": "k"})
        assert first.status_code == 200
        assert first.json() == again.json()
        found = (await http.post("/v1/memory/search", json={"query": "Lisbon"})).json()
        assert found["messages"][0]["content"] == SAID[0]["content"]
        assert (found["facts"][0]["text"], found["facts"][0]["tags"]) == ("Eva dives in Lisbon.", ["family"])
        assert (await client.memory.search("Lisbon")).messages[0].message.id == found["messages"][0]["id"]
        assert (await http.post("/v1/memory/add", json={})).status_code == 422
        paths = (await http.get("/openapi.json")).json()["paths"]
        assert {"/v1/memory/add", "/v1/memory/search"} <= set(paths)
