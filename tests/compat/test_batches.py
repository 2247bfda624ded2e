"""Batches and jobs, as letta-client programs ask for them."""

from __future__ import annotations

from typing import Any

import httpx
import letta_client
import pytest
from letta_client import AsyncLetta
from letta_client.types.agents import InternalMessage, Run

from tests.support.door import Door
from tests.support.recall import eventually
from tests.support.scripted_model import ScriptedModel
from triptych.gateway.v1 import gateway_pb2

_PATH = "/v1/messages/batches"


async def _create(letta: AsyncLetta, *requests: dict[str, Any], **options: Any) -> dict[str, Any]:
    body = {"requests": list(requests)}
    return (await letta.post(_PATH, cast_to=httpx.Response, body=body, options=options)).json()  # type: ignore[no-any-return]


async def _got(letta: AsyncLetta, path: str, **query: Any) -> Any:
    return (await letta.get(path, cast_to=httpx.Response, options={"params": query})).json()


async def _over(letta: AsyncLetta, batch_id: str) -> dict[str, Any]:
    return await eventually(  # type: ignore[no-any-return]
        lambda: _got(letta, f"{_PATH}/{batch_id}"), lambda batch: bool(batch["completed_at"])
    )


async def _messages(letta: AsyncLetta, batch_id: str, **query: Any) -> list[InternalMessage]:
    found = (await _got(letta, f"{_PATH}/{batch_id}/messages", **query))["messages"]
    return [InternalMessage.model_validate(each) for each in found]


async def test_each_request_of_a_batch_is_answered_once(letta: AsyncLetta, model: ScriptedModel) -> None:
    agents = [await letta.agents.create(name=f"a{number}") for number in range(2)]
    requests = [
        {"agent_id": agents[number % 2].id, "messages": [{"role": "user", "content": f"say {number}"}]}
        for number in range(6)
    ]
    batch = await _create(letta, *requests)
    assert (batch["job_type"], batch["metadata"]["turns"]) == ("batch", 6)
    over = await _over(letta, batch["id"])
    assert (over["status"], over["metadata"]["completed"]) == ("completed", 6)
    said = await _messages(letta, batch["id"])
    assert [(each.role, each.content[0].text) for each in said if each.content] == [
        pair for number in range(6) for pair in (("user", f"say {number}"), ("assistant", f"ok: say {number}"))
    ]
    assert [each.batch_item_id for each in said[:3]] == ["batch_item-0", "batch_item-0", "batch_item-1"]
    for agent in agents:
        shown = [message async for message in letta.agents.messages.list(agent.id)]
        assert len(shown) == 6
    first = await _messages(letta, batch["id"], limit=4, agent_id=agents[0].id)
    rest = await _messages(letta, batch["id"], after=first[-1].id, agent_id=agents[0].id)
    assert [each.id for each in first + rest] == [each.id for each in said if each.agent_id == agents[0].id]
    assert len(model.requests) == 6


async def test_batches_are_listed_by_pages_and_a_replayed_key_makes_none(letta: AsyncLetta) -> None:
    agent = await letta.agents.create(name="a")
    request = {"agent_id": agent.id, "input": "hello"}
    again: dict[str, Any] = {"headers": {"idempotency-key": "once"}}
    ids = [(await _create(letta, request))["id"], (await _create(letta, request, **again))["id"]]
    assert (await _create(letta, request, **again))["id"] == ids[1]
    assert [each["id"] for each in await _got(letta, _PATH)] == ids[::-1]
    assert [each["id"] for each in await _got(letta, _PATH, limit=1, after=ids[1])] == ids[:1]
    assert [each["id"] for each in await _got(letta, _PATH, order="asc", before=ids[1])] == ids[:1]
    with pytest.raises(letta_client.APIStatusError, match="another batch"):
        await _create(letta, {"agent_id": agent.id, "input": "other"}, **again)


async def test_a_cancelled_batch_starts_nothing_more_and_stops_what_runs(
    letta: AsyncLetta, model: ScriptedModel
) -> None:
    agents = [await letta.agents.create(name=f"a{number}") for number in range(6)]
    batch = await _create(letta, *({"agent_id": agent.id, "input": "[[wait]]"} for agent in agents))

    async def running() -> int:
        return int((await _got(letta, f"{_PATH}/{batch['id']}"))["metadata"]["running"])

    assert await eventually(running, lambda number: number == 4) == 4, "so many run at a time"
    await letta.patch(f"{_PATH}/{batch['id']}/cancel", cast_to=object)
    model.release()
    over = await _over(letta, batch["id"])
    assert (over["status"], over["metadata"]["cancelled"]) == ("cancelled", 6)
    assert len([run async for run in letta.runs.list()]) == 4
    again = await letta.patch(f"{_PATH}/{batch['id']}/cancel", cast_to=httpx.Response)
    assert again.json() == over


async def test_what_cant_be_run_fails_and_holds_up_nothing_else(letta: AsyncLetta, model: ScriptedModel) -> None:
    good, gone = await letta.agents.create(name="good"), await letta.agents.create(name="gone")
    broken = {"agent_id": good.id, "input": "[[status:400]]"}
    lost = {"agent_id": gone.id, "input": "[[wait]]"}
    batch = await _create(letta, broken, lost, {"agent_id": good.id, "input": "hello"})
    await eventually(lambda: _got(letta, "/v1/jobs/active"), lambda jobs: gone.id in [job["agent_id"] for job in jobs])
    await letta.agents.delete(gone.id)
    model.release()
    over = await _over(letta, batch["id"])
    assert over["metadata"]["completed"] == 1
    assert over["status"] == "completed"
    assert [each.role for each in await _messages(letta, batch["id"])].count("assistant") == 1


async def test_what_is_malformed_makes_no_batch(letta: AsyncLetta) -> None:
    agent = await letta.agents.create(name="a")
    missing = agent.id.replace(agent.id[-4:], "0000")
    for requests, options in (
        ([], {}),
        ([{"input": "no agent"}], {}),
        ([{"agent_id": agent.id}], {}),
        ([{"agent_id": agent.id, "input": "x"}], {"callback_url": "http://example.org"}),
    ):
        with pytest.raises(letta_client.UnprocessableEntityError):
            await letta.post(_PATH, cast_to=object, body={"requests": requests, **options})
    with pytest.raises(letta_client.NotFoundError):
        await _create(letta, {"agent_id": agent.id, "input": "x"}, {"agent_id": missing, "input": "x"})
    assert await _got(letta, _PATH) == []


async def test_jobs_are_turns_in_the_background(letta: AsyncLetta, model: ScriptedModel) -> None:
    agent = await letta.agents.create(name="a")
    await letta.agents.messages.create(agent.id, input="in front")
    runs = [await letta.agents.messages.create_async(agent.id, input=f"[[wait]] {n}") for n in range(3)]
    ids = [run.id for run in runs]
    assert [job["id"] for job in await _got(letta, "/v1/jobs")] == ids[::-1]
    assert [job["id"] for job in await _got(letta, "/v1/jobs", limit=1, after=ids[2])] == [ids[1]]
    assert [job["id"] for job in await _got(letta, "/v1/jobs/active", order="asc")] == ids
    stopped = await letta.patch(f"/v1/jobs/{ids[2]}/cancel", cast_to=Run)
    assert stopped.status == "cancelled"
    model.release()
    job = await eventually(lambda: _got(letta, f"/v1/jobs/{ids[1]}"), lambda found: found["status"] == "completed")
    assert (job["job_type"], job["background"], job["agent_id"]) == ("run", True, agent.id)
    assert [job["id"] for job in await _got(letta, "/v1/jobs", statuses="cancelled")] == [ids[2]]
    # All runs, page by page.
    assert len([run async for run in letta.runs.list(agent_id=agent.id, limit=2)]) == 4


async def test_a_batch_keeps_to_its_users_quotas_and_waits(letta: AsyncLetta, door: Door, key: str) -> None:
    agents = [await letta.agents.create(name=f"a{number}") for number in range(3)]
    async with door.http() as admin, door.http(key) as user:
        me = (await user.get("/v1/me")).json()["user"]["id"]
        limited = await admin.put(f"/v1/admin/users/{me}/limits", json={"limits": {"live_turns": 1}})
        assert limited.status_code == 200
    batch = await _create(letta, *({"agent_id": agent.id, "input": "hello"} for agent in agents))
    assert (await _over(letta, batch["id"]))["metadata"]["completed"] == 3


async def test_a_read_only_key_makes_and_stops_nothing(letta: AsyncLetta, door: Door, key: str) -> None:
    agent = await letta.agents.create(name="a")
    batch = await _create(letta, {"agent_id": agent.id, "input": "hello"})
    async with door.http(key) as user, door.client() as admin:
        me = (await user.get("/v1/me")).json()["user"]["id"]
        reading = (await admin.keys.create(me, scope=gateway_pb2.KEY_SCOPE_READ_ONLY)).secret
    async with AsyncLetta(base_url=door.http_url, api_key=reading) as reader:
        assert [each["id"] for each in await _got(reader, _PATH)] == [batch["id"]]
        with pytest.raises(letta_client.PermissionDeniedError):
            await _create(reader, {"agent_id": agent.id, "input": "hello"})
        for method, path in (("patch", f"{_PATH}/{batch['id']}/cancel"), ("post", "/v1/groups")):
            body = {"agent_ids": [agent.id], "description": "d"}
            with pytest.raises(letta_client.PermissionDeniedError):
                await getattr(reader, method)(path, cast_to=object, body=body)
