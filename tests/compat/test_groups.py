"""Groups of agents, as letta-client programs make them and talk with them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import letta_client
import pytest
from letta_client import AsyncLetta, AsyncStream
from letta_client.types import AgentState
from letta_client.types.agent_state import ManagedGroup
from letta_client.types.agents import LettaResponse, LettaStreamingResponse

from tests.support.door import Door
from tests.support.recall import eventually
from tests.support.scripted_model import ScriptedModel

_ALL = "send_message_to_all_agents_in_group"


async def _agents(letta: AsyncLetta, *names: str) -> list[AgentState]:
    return [await letta.agents.create(name=name) for name in names]


async def _group(letta: AsyncLetta, agents: list[AgentState], **more: Any) -> ManagedGroup:
    body = {"agent_ids": [agent.id for agent in agents], "description": "d", **more}
    return await letta.post("/v1/groups/", cast_to=ManagedGroup, body=body)


async def _said(letta: AsyncLetta, group_id: str, text: str, **options: Any) -> LettaResponse:
    body = {"messages": [{"role": "user", "content": text}]}
    return await letta.post(f"/v1/groups/{group_id}/messages", cast_to=LettaResponse, body=body, options=options)


async def _listed(letta: AsyncLetta, group_id: str, **query: Any) -> list[dict[str, Any]]:
    path = f"/v1/groups/{group_id}/messages"
    return (await letta.get(path, cast_to=httpx.Response, options={"params": query})).json()  # type: ignore[no-any-return]


def _spoken(answer: LettaResponse) -> list[tuple[Any, Any]]:
    return [(each.name, each.content) for each in answer.messages if each.message_type == "assistant_message"]


def _told(model: ScriptedModel) -> list[str]:
    """What the newest call of the model was told by users."""
    return [str(each["content"]) for each in model.requests[-1]["messages"] if each["role"] == "user"]


async def test_in_a_round_each_answers_in_turn_and_hears_what_the_others_said(
    letta: AsyncLetta, model: ScriptedModel
) -> None:
    agents = await _agents(letta, "ann", "bob", "cyd")
    group = await _group(letta, agents)
    assert (group.manager_type, group.agent_ids) == ("round_robin", [agent.id for agent in agents])
    answer = await _said(letta, group.id, "[[say:mine]] who are you?")
    assert _spoken(answer) == [("ann", "mine"), ("bob", "mine"), ("cyd", "mine")]
    assert (answer.stop_reason.stop_reason, answer.usage.step_count) == ("end_turn", 3)
    assert _told(model) == ["ann: mine", "bob: mine", "[[say:mine]] who are you?"]

    await _said(letta, group.id, "and now?")
    heard = [each["content"] for each in model.requests[3]["messages"] if each["role"] == "user"]
    assert heard == ["[[say:mine]] who are you?", "bob: mine", "cyd: mine", "and now?"]
    # It is a conversation of its own: what else an agent is asked does not mix with it.
    assert [message async for message in letta.agents.messages.list(agents[0].id)] == []


async def test_a_round_is_bounded_by_its_turns(letta: AsyncLetta, model: ScriptedModel) -> None:
    agents = await _agents(letta, "ann", "bob")
    config = {"manager_type": "round_robin", "max_turns": 5}
    group = await _group(letta, agents, manager_config=config)
    assert group.max_turns == 5
    answer = await _said(letta, group.id, "[[say:mine]] talk")
    assert [name for name, _ in _spoken(answer)] == ["ann", "bob", "ann", "bob", "ann"]
    assert len(model.requests) == 5


async def test_a_round_can_be_answered_by_another_model(letta: AsyncLetta, model: ScriptedModel) -> None:
    group = await _group(letta, await _agents(letta, "ann", "bob"))
    said = {"input": "talk", "override_model": "another"}
    await letta.post(f"/v1/groups/{group.id}/messages", body=said, cast_to=object)
    assert [each["model"] for each in model.requests] == ["another"] * 2


async def test_a_manager_asks_its_agents_and_is_told_their_answers(letta: AsyncLetta, model: ScriptedModel) -> None:
    manager, *agents = await _agents(letta, "max", "ann", "bob")
    config = {"manager_type": "supervisor", "manager_agent_id": manager.id}
    group = await _group(letta, agents, manager_config=config)
    assert (group.manager_type, group.manager_agent_id) == ("supervisor", manager.id)
    asked = json.dumps({"message": "are you there?"})
    one = json.dumps({"message": "only you", "agent_name": "bob"})
    wrong = json.dumps({"message": "x", "agent_name": "nobody"})
    calls = f"[[call:{_ALL} {asked}]] [[call:send_message_to_agent_in_group {one}]]"
    text = f"{calls} [[call:send_message_to_agent_in_group {wrong}]] ask them"
    answer = await _said(letta, group.id, text)
    first, second, third = [each for each in answer.messages if each.message_type == "tool_return_message"]
    assert json.loads(str(first.tool_return)) == [
        {"agent_name": "ann", "response": "ok: are you there?"},
        {"agent_name": "bob", "response": "ok: are you there?"},
    ]
    assert json.loads(str(second.tool_return)) == [{"agent_name": "bob", "response": "ok: only you"}]
    assert (third.status, "ann, bob" in str(third.tool_return)) == ("error", True)
    assert _spoken(answer)[-1] == ("max", "ok: ask them")
    assert (answer.stop_reason.stop_reason, answer.usage.step_count) == ("end_turn", 4 + 3)
    assert len(model.requests) == 7


@pytest.mark.parametrize("manager_type", ["round_robin", "supervisor"])
async def test_a_message_sent_again_runs_nothing_again(
    letta: AsyncLetta, model: ScriptedModel, manager_type: str
) -> None:
    manager, *agents = await _agents(letta, "max", "ann", "bob")
    config = {"manager_type": manager_type, "manager_agent_id": manager.id}
    group = await _group(letta, agents, manager_config=config if manager_type == "supervisor" else None)
    text = f'[[call:{_ALL} {{"message": "hello"}}]] go' if manager_type == "supervisor" else "go"
    once: dict[str, Any] = {"headers": {"idempotency-key": "once"}}
    first = await _said(letta, group.id, text, **once)
    calls = len(model.requests)
    second = await _said(letta, group.id, text, **once)
    assert len(model.requests) == calls
    assert [each.id for each in second.messages] == [each.id for each in first.messages]
    assert second.usage == first.usage
    with pytest.raises(letta_client.UnprocessableEntityError, match="used before"):
        await _said(letta, group.id, f"{text} elsewhere", **once)
    assert len(model.requests) == calls
    assert len(await _listed(letta, group.id)) == len({each["id"] for each in await _listed(letta, group.id)})


async def test_what_was_said_is_listed_by_pages_once_each(letta: AsyncLetta) -> None:
    group = await _group(letta, await _agents(letta, "ann", "bob"))
    for number in range(3):
        await _said(letta, group.id, f"say {number}")
    whole = await _listed(letta, group.id, order="asc")
    assert [(each["message_type"], each["content"]) for each in whole] == [
        line
        for number in range(3)
        for line in (
            ("user_message", f"say {number}"),
            ("assistant_message", f"ok: say {number}"),
            ("assistant_message", f"ok: say {number}"),
        )
    ]
    assert len({each["sender_id"] for each in whole}) == 3
    ids = [each["id"] for each in whole]
    assert [each["id"] for each in await _listed(letta, group.id)] == ids[::-1]
    assert [each["id"] for each in await _listed(letta, group.id, limit=4)] == ids[:4:-1]
    assert [each["id"] for each in await _listed(letta, group.id, limit=2, after=ids[4])] == ids[3:1:-1]
    assert [each["id"] for each in await _listed(letta, group.id, limit=2, before=ids[4], order="asc")] == ids[2:4]
    assert await _listed(letta, group.id, after="message-00000000-0000-4000-8000-000000000000") == []


async def test_a_group_is_streamed_turn_by_turn_with_one_end(letta: AsyncLetta) -> None:
    group = await _group(letta, await _agents(letta, "ann", "bob"))
    stream: Any = await letta.post(
        f"/v1/groups/{group.id}/messages/stream",
        cast_to=LettaStreamingResponse,
        body={"input": "hello", "stream_tokens": True},
        stream=True,
        stream_cls=AsyncStream[LettaStreamingResponse],
    )
    kinds = [event.message_type async for event in stream]
    assert kinds[0] == "ping"
    assert kinds.count("assistant_message") >= 2
    assert kinds[-2:] == ["stop_reason", "usage_statistics"]
    assert kinds.count("stop_reason") == 1
    with pytest.raises(letta_client.NotFoundError):
        await letta.post(f"/v1/groups/{group.id[:-4]}0000/messages/stream", cast_to=object, body={"input": "x"})


async def test_groups_are_listed_changed_reset_and_deleted(letta: AsyncLetta, model: ScriptedModel) -> None:
    agents = await _agents(letta, "ann", "bob")
    groups = [await _group(letta, agents[:1]), await _group(letta, agents)]
    ids = [group.id for group in groups]
    listed = (await letta.get("/v1/groups/", cast_to=httpx.Response, options={"params": {"limit": 1}})).json()
    assert [group["id"] for group in listed] == ids[1:]
    after: dict[str, Any] = {"params": {"after": ids[1], "manager_type": "round_robin"}}
    assert [g["id"] for g in (await letta.get("/v1/groups/", cast_to=httpx.Response, options=after)).json()] == ids[:1]
    assert (await letta.get("/v1/groups/count", cast_to=httpx.Response)).json() == 2

    body: dict[str, Any] = {"agent_ids": [agents[1].id, agents[0].id], "description": "new"}
    changed = await letta.patch(f"/v1/groups/{ids[0]}", cast_to=ManagedGroup, body=body)
    assert (changed.agent_ids, changed.description) == (body["agent_ids"], "new")
    assert [name for name, _ in _spoken(await _said(letta, ids[0], "hello"))] == ["bob", "ann"]

    await letta.patch(f"/v1/groups/{ids[0]}/reset-messages", cast_to=object)
    assert await _listed(letta, ids[0]) == []
    await _said(letta, ids[0], "anew")
    assert _told(model) == ["bob: ok: anew", "anew"]
    await letta.delete(f"/v1/groups/{ids[0]}", cast_to=object)
    with pytest.raises(letta_client.NotFoundError):
        await letta.get(f"/v1/groups/{ids[0]}", cast_to=ManagedGroup)
    assert (await letta.agents.retrieve(agents[0].id)).name == "ann"


async def test_an_agent_with_sleep_time_memory_is_a_group_of_itself(letta: AsyncLetta) -> None:
    agent = await letta.agents.create(name="a", enable_sleeptime=True)
    group = agent.multi_agent_group
    assert group is not None
    assert (group.manager_type, group.manager_agent_id, group.sleeptime_agent_frequency) == ("sleeptime", agent.id, 5)
    config = {"manager_config": {"manager_type": "sleeptime", "sleeptime_agent_frequency": 2}}
    changed = await letta.patch(f"/v1/groups/{group.id}", cast_to=ManagedGroup, body=config)
    assert changed.sleeptime_agent_frequency == 2
    sleeping: dict[str, Any] = {"params": {"manager_type": "sleeptime"}}
    listed = (await letta.get("/v1/groups/", cast_to=httpx.Response, options=sleeping)).json()
    assert [each["id"] for each in listed] == [group.id]
    assert _spoken(await _said(letta, group.id, "hello")) == [(None, "ok: hello")]
    await letta.delete(f"/v1/groups/{group.id}", cast_to=object)
    assert not (await letta.agents.retrieve(agent.id)).enable_sleeptime


async def test_what_cant_be_a_group_is_refused_and_a_turn_that_fails_is_an_error(letta: AsyncLetta) -> None:
    agents = await _agents(letta, "ann", "bob")
    for config in ({"manager_type": "supervisor"}, {"manager_type": "supervisor", "manager_agent_id": agents[0].id}):
        with pytest.raises(letta_client.UnprocessableEntityError):
            await _group(letta, agents, manager_config=config)
    for wrong in ([], [agents[0], agents[0]]):
        with pytest.raises(letta_client.UnprocessableEntityError):
            await _group(letta, wrong)
    with pytest.raises(letta_client.APIStatusError) as refused:
        await _group(letta, agents, manager_config={"manager_type": "dynamic", "manager_agent_id": agents[0].id})
    assert refused.value.status_code == 501
    group = await _group(letta, agents)
    with pytest.raises(letta_client.APIStatusError) as failed:
        await _said(letta.with_options(max_retries=0), group.id, "[[status:400]]")
    assert failed.value.status_code == 502
    await letta.agents.delete(agents[1].id)
    with pytest.raises(letta_client.NotFoundError):
        await _said(letta, group.id, "hello")


async def test_a_group_goes_on_though_its_reader_has_gone(
    letta: AsyncLetta, door: Door, key: str, model: ScriptedModel
) -> None:
    group = await _group(letta, await _agents(letta, "ann", "bob"))
    path = f"/v1/groups/{group.id}/messages/stream"
    said = {"input": "[[wait]] [[say:done]] go"}
    async with door.http(key) as http, http.stream("POST", path, json=said) as stream:
        assert '"message_type":"ping"' in await anext(stream.aiter_lines())
        assert await asyncio.to_thread(model.waiting.wait, 20)
    model.release()
    listed = await eventually(lambda: _listed(letta, group.id), lambda found: len(found) == 3)
    assert [each["content"] for each in listed] == ["done", "done", "[[wait]] [[say:done]] go"]
