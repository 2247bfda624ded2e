"""An agent sees its own archives, though that be none: no list of them is the same as all the user's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.support.door import Door, opened
from tests.support.scripted_model import ScriptedModel
from triptych.errors import FailedPrecondition

OTHER = "the zebra is purple"


@pytest_asyncio.fixture
async def door(tmp_path: Path, model: ScriptedModel, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Door]:
    async with opened(tmp_path, capsys, model_url=model.url) as opened_door:
        yield opened_door


@pytest_asyncio.fixture
async def http(door: Door) -> AsyncIterator[httpx.AsyncClient]:
    async with door.http() as client:
        yield client


async def _other(http: httpx.AsyncClient) -> dict[str, str]:
    """A passage of an archive that no agent has."""
    archive = (await http.post("/v1/archives", json={"name": "other"})).json()
    passages = (await http.post(f"/v1/archives/{archive['id']}/passages", json={"text": OTHER})).json()
    return passages[0] if isinstance(passages, list) else passages


async def _agent(http: httpx.AsyncClient) -> str:
    """One whose archives were taken from it."""
    agent = (await http.post("/v1/agents", json={"name": "a"})).json()
    for archive_id in agent["archive_ids"]:
        assert (await http.patch(f"/v1/agents/{agent['id']}/archives/detach/{archive_id}")).status_code == 200
    return str(agent["id"])


async def test_an_agent_without_archives_finds_and_deletes_nothing_of_the_users_others(
    http: httpx.AsyncClient,
) -> None:
    other, agent_id = await _other(http), await _agent(http)
    agent = f"/v1/agents/{agent_id}"
    for answer in (
        await http.get(f"{agent}/archival-memory"),
        await http.get(f"{agent}/archival-memory/search", params={"query": OTHER}),
        await http.post("/v1/passages/search", json={"agent_id": agent_id, "query": OTHER}),
        await http.post("/v1/memory/search", json={"agent_id": agent_id, "query": OTHER}),
        await http.post(f"{agent}/tools/archival_memory_search/run", json={"args": {"query": OTHER}}),
        await http.get(f"{agent}/files"),
    ):
        assert answer.status_code == 200
        assert OTHER not in answer.text
    assert (await http.delete(f"{agent}/archival-memory/{other['id']}")).status_code == 404


async def test_an_agent_without_archives_is_told_that_it_can_save_nothing(http: httpx.AsyncClient) -> None:
    agent_id = await _agent(http)
    kept = {"agent_id": agent_id, "facts": ["a fact"], "messages": [{"content": "hello"}]}
    for answer in (
        await http.post(f"/v1/agents/{agent_id}/archival-memory", json={"text": "a fact"}),
        await http.post("/v1/memory/add", json=kept),
    ):
        assert answer.status_code == 422
        assert "no archive is attached" in answer.text
    assert (await http.post("/v1/memory/search", json={"query": "hello"})).json()["messages"] == []
    run = await http.post(f"/v1/agents/{agent_id}/tools/archival_memory_insert/run", json={"args": {"content": "f"}})
    assert (run.status_code, run.json()["status"]) == (200, "error")


async def test_so_it_is_in_the_sdk(door: Door, http: httpx.AsyncClient) -> None:
    await _other(http)
    async with door.client() as client:
        agent = await client.agents.get(await _agent(http))
        assert list(await client.archival.search(agent, OTHER)) == []
        assert [each async for each in client.archival.list(agent)] == []
        with pytest.raises(FailedPrecondition, match="no archive is attached"):
            await client.archival.insert(agent, "a fact")


async def test_an_archive_that_the_agent_does_not_have_is_not_searched_by_it(http: httpx.AsyncClient) -> None:
    other = await _other(http)
    agent_id = (await http.post("/v1/agents", json={"name": "a"})).json()["id"]
    asked = {"agent_id": agent_id, "archive_id": other["archive_id"], "query": OTHER}
    assert (await http.post("/v1/passages/search", json=asked)).json() == []
    assert (await http.patch(f"/v1/agents/{agent_id}/archives/attach/{other['archive_id']}")).status_code == 200
    assert len((await http.post("/v1/passages/search", json=asked)).json()) == 1
