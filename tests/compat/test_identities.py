"""Identities, as letta-client programs make them and give them to agents and blocks."""

from __future__ import annotations

from typing import Any

import httpx
import letta_client
import pytest
from letta_client import AsyncLetta
from letta_client.types import AgentState
from letta_client.types.agent_state import Identity

_ANN = {"identifier_key": "ann@example.org", "name": "Ann", "identity_type": "user"}
_PROPERTIES = [
    {"key": "city", "value": "Oslo", "type": "string"},
    {"key": "age", "value": 41.0, "type": "number"},
    {"key": "paid", "value": True, "type": "boolean"},
    {"key": "seat", "value": {"row": 3.0}, "type": "json"},
]


async def _ask(letta: AsyncLetta, method: str, path: str, body: Any = None) -> Identity:
    call = {"post": letta.post, "put": letta.put, "patch": letta.patch}[method]
    return await call(f"/v1/identities/{path}", cast_to=Identity, body=body)


async def _get(letta: AsyncLetta, identity_id: str) -> Identity:
    return await letta.get(f"/v1/identities/{identity_id}", cast_to=Identity)


async def _listed(letta: AsyncLetta, path: str = "/v1/identities/", **query: Any) -> list[str]:
    answer = await letta.get(path, cast_to=httpx.Response, options={"params": query})
    return [each["id"] for each in answer.json()]


async def _agents(letta: AsyncLetta, **query: Any) -> list[str]:
    return [agent.id async for agent in letta.agents.list(**query)]


async def test_one_is_made_with_its_agents_blocks_and_properties(letta: AsyncLetta) -> None:
    agent = await letta.agents.create(name="a")
    block = await letta.blocks.create(label="notes", value="v")
    wanted = {**_ANN, "agent_ids": [agent.id], "block_ids": [block.id], "properties": _PROPERTIES}
    made = await _ask(letta, "post", "", wanted)
    assert (made.identifier_key, made.name, made.identity_type) == ("ann@example.org", "Ann", "user")
    assert (made.agent_ids, made.block_ids) == ([agent.id], [block.id])
    kept = {each.key: each.model_dump() for each in (await _get(letta, made.id)).properties or []}
    assert kept == {str(each["key"]): each for each in _PROPERTIES}

    shown = await letta.agents.retrieve(agent.id)
    assert shown.identity_ids == [made.id]
    (its,) = shown.identities or []
    assert (its.id, its.name) == (made.id, "Ann")
    assert await _listed(letta, f"/v1/identities/{made.id}/agents") == [agent.id]
    assert await _listed(letta, f"/v1/identities/{made.id}/blocks") == [block.id]
    assert [each.id async for each in letta.blocks.list(identity_id=made.id)] == [block.id]
    assert [each.id async for each in letta.blocks.list(identifier_keys=["nobody"])] == []


async def test_agents_are_created_with_found_by_and_changed_in_their_identities(letta: AsyncLetta) -> None:
    ann = await _ask(letta, "post", "", _ANN)
    org = await _ask(letta, "post", "", {"identifier_key": "acme", "name": "Acme", "identity_type": "org"})
    both = await letta.agents.create(name="both", identity_ids=[ann.id, org.id])
    one = await letta.agents.create(name="one", identity_ids=[org.id])
    none = await letta.agents.create(name="none")
    assert sorted(both.identity_ids or []) == sorted([ann.id, org.id])
    assert await _agents(letta, identity_id=ann.id) == [both.id]
    assert await _agents(letta, identifier_keys=["acme"], limit=1) == [one.id, both.id]
    assert await _agents(letta, identifier_keys=["acme", "ann@example.org"], order="asc") == [both.id, one.id]

    assert (await letta.agents.update(both.id, identity_ids=[org.id])).identity_ids == [org.id]
    assert (await letta.agents.update(both.id, description="d")).identity_ids == [org.id]
    await letta.agents.identities.attach(ann.id, agent_id=none.id)
    await letta.agents.identities.attach(ann.id, agent_id=none.id)
    assert (await _get(letta, ann.id)).agent_ids == [none.id]
    await letta.agents.identities.detach(ann.id, agent_id=none.id)
    assert (await letta.agents.retrieve(none.id)).identity_ids == []
    with pytest.raises(letta_client.NotFoundError):
        await letta.agents.identities.detach(ann.id, agent_id=none.id)
    with pytest.raises(letta_client.NotFoundError):
        await letta.agents.create(name="n", identity_ids=[ann.id.replace(ann.id[-4:], "0000")])
    assert len(await _agents(letta)) == 3


async def test_a_change_adds_and_an_upsert_replaces(letta: AsyncLetta) -> None:
    one, two = await letta.agents.create(name="one"), await letta.agents.create(name="two")
    made = await _ask(letta, "post", "", {**_ANN, "agent_ids": [one.id], "properties": _PROPERTIES[:1]})
    more = {"agent_ids": [two.id], "properties": _PROPERTIES[1:2], "identity_type": "other"}
    changed = await _ask(letta, "patch", made.id, more)
    assert sorted(changed.agent_ids) == sorted([one.id, two.id])
    assert sorted(each.key for each in changed.properties or []) == ["age", "city"]
    assert (changed.identity_type, changed.name) == ("other", "Ann")

    upserted = await _ask(letta, "put", "", {**_ANN, "name": "Anne", "agent_ids": [two.id]})
    assert (upserted.id, upserted.name, upserted.agent_ids) == (made.id, "Anne", [two.id])
    assert len(upserted.properties or []) == 2
    again = await _ask(letta, "put", f"{made.id}/properties", _PROPERTIES[2:3])
    assert [each.key for each in again.properties or []] == ["paid"]
    new = await _ask(letta, "put", "", {"identifier_key": "bob", "name": "Bob", "identity_type": "user"})
    assert new.id != made.id


async def test_they_are_listed_by_pages_and_filters_and_counted(letta: AsyncLetta) -> None:
    ids = [
        (await _ask(letta, "post", "", {"identifier_key": f"k{n}", "name": f"Name {n}", "identity_type": kind})).id
        for n, kind in enumerate(["user", "org", "user"])
    ]
    assert await _listed(letta, order="asc") == ids
    assert await _listed(letta, limit=2) == ids[:0:-1]
    assert await _listed(letta, limit=2, after=ids[1]) == [ids[0]]
    assert await _listed(letta, identity_type="org") == await _listed(letta, identifier_key="k1") == [ids[1]]
    assert await _listed(letta, name="ame 2") == [ids[2]]
    assert (await letta.get("/v1/identities/count", cast_to=httpx.Response)).json() == 3


async def test_a_key_that_is_taken_and_what_is_malformed_are_refused(letta: AsyncLetta) -> None:
    made = await _ask(letta, "post", "", _ANN)
    other = await _ask(letta, "post", "", {**_ANN, "identifier_key": "bob"})
    with pytest.raises(letta_client.ConflictError):
        await _ask(letta, "post", "", {**_ANN, "name": "Another"})
    with pytest.raises(letta_client.ConflictError):
        await _ask(letta, "patch", other.id, {"identifier_key": _ANN["identifier_key"]})
    for bad in ({"name": "x"}, {**_ANN, "identity_type": "robot"}, {**_ANN, "identifier_key": ""}):
        with pytest.raises(letta_client.UnprocessableEntityError):
            await _ask(letta, "post", "", bad)
    assert (await _get(letta, made.id)).name == "Ann"


async def test_deleting_an_identity_an_agent_or_a_block_leaves_the_others(letta: AsyncLetta) -> None:
    agent, doomed = await letta.agents.create(name="a"), await letta.agents.create(name="b")
    block = await letta.blocks.create(label="notes", value="v")
    made = await _ask(letta, "post", "", {**_ANN, "agent_ids": [agent.id, doomed.id]})
    await letta.patch(f"/v1/blocks/{block.id}/identities/attach/{made.id}", cast_to=object)
    assert (await _get(letta, made.id)).block_ids == [block.id]
    await letta.agents.delete(doomed.id)
    await letta.blocks.delete(block.id)
    kept = await _get(letta, made.id)
    assert (kept.agent_ids, kept.block_ids) == ([agent.id], [])

    await letta.delete(f"/v1/identities/{made.id}", cast_to=object)
    with pytest.raises(letta_client.NotFoundError):
        await _get(letta, made.id)
    shown: AgentState = await letta.agents.retrieve(agent.id)
    assert (shown.identity_ids, shown.identities) == ([], [])


async def test_a_replay_of_an_idempotency_key_makes_one(letta: AsyncLetta) -> None:
    options: Any = {"headers": {"idempotency-key": "once"}}
    made = [await letta.post("/v1/identities", cast_to=Identity, body=_ANN, options=options) for _ in range(2)]
    assert made[0].id == made[1].id
