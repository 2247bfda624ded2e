"""OpenAI's own client against a running gateway: agents are its models."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest
from letta_client import AsyncLetta

from tests.support.door import FIRST_KEY, Door, opened
from tests.support.scripted_model import ScriptedModel
from triptych.agent.v1.agent_pb2 import Agent


@pytest.fixture
async def door(tmp_path: Path, model: ScriptedModel, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Door]:
    async with opened(tmp_path, capsys, model_url=model.url) as made:
        yield made


@pytest.fixture
async def agent(door: Door) -> Agent:
    async with door.client() as client:
        return await client.agents.create("ann", blocks={"human": "Name: Ann."})


@pytest.fixture
async def client(door: Door) -> AsyncIterator[openai.AsyncOpenAI]:
    async with _openai(door) as opened:
        yield opened


def _openai(door: Door, key: str = FIRST_KEY, base: str = "/v1") -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=door.http_url + base, api_key=key, max_retries=0)


async def _said(door: Door, agent_id: str) -> list[str]:
    async with door.client() as own:
        return [message.text async for message in own.recall.list(agent_id)]


async def test_an_agent_is_a_model_by_its_id_and_by_its_name(client: openai.AsyncOpenAI, agent: Agent) -> None:
    for model in (agent.id, "ann"):
        answer = await client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hello"}])
        assert answer.choices[0].message.content == "ok: hello"
        assert (answer.choices[0].finish_reason, answer.model, answer.object) == ("stop", model, "chat.completion")
        assert answer.usage is not None
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + 10 > 100


async def test_only_what_the_user_says_now_is_new_to_the_agent(
    client: openai.AsyncOpenAI, agent: Agent, door: Door
) -> None:
    await client.chat.completions.create(model="ann", messages=[{"role": "user", "content": "one"}])
    await client.chat.completions.create(
        model="ann",
        messages=[
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "ok: one"},
            {"role": "user", "content": [{"type": "text", "text": "two"}]},
        ],
    )
    assert await _said(door, agent.id) == ["one", "ok: one", "two", "ok: two"]


async def test_a_stream_is_pieces_a_finish_reason_and_usage_if_asked(client: openai.AsyncOpenAI, agent: Agent) -> None:
    chunks = [
        chunk
        async for chunk in await client.chat.completions.create(
            model="ann",
            messages=[{"role": "user", "content": "one two three"}],
            stream=True,
            stream_options={"include_usage": True},
        )
    ]
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces) == "ok: one two three"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == chunks[-1].usage.prompt_tokens + 10 > 100
    assert len({chunk.id for chunk in chunks}) == 1


async def test_tools_run_inside_and_only_what_was_said_comes_out(client: openai.AsyncOpenAI, agent: Agent) -> None:
    said = '[[call:memory_insert {"label": "human", "new_string": "Likes tea."}]] I like tea'
    answer = await client.chat.completions.create(model="ann", messages=[{"role": "user", "content": said}])
    assert answer.choices[0].message.content == "ok: I like tea"
    assert answer.choices[0].message.tool_calls is None


async def test_the_same_idempotency_key_runs_once_and_answers_the_same(
    client: openai.AsyncOpenAI, agent: Agent, door: Door
) -> None:
    answers = [
        await client.chat.completions.create(
            model="ann", messages=[{"role": "user", "content": "once"}], extra_headers={"Idempotency-Key": "k1"}
        )
        for _ in range(2)
    ]
    replayed = await client.chat.completions.create(
        model="ann",
        messages=[{"role": "user", "content": "once"}],
        stream=True,
        extra_headers={"Idempotency-Key": "k1"},
    )
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in replayed])
    assert answers[0] == answers[1]
    assert text == "ok: once"
    assert await _said(door, agent.id) == ["once", "ok: once"]


async def test_a_thread_of_the_agent_is_named_by_conversation_id(
    client: openai.AsyncOpenAI, agent: Agent, door: Door
) -> None:
    async with door.client() as own:
        thread = await own.agents.new_conversation(agent.id)
    await client.chat.completions.create(
        model="ann", messages=[{"role": "user", "content": "there"}], extra_body={"conversation_id": thread.id}
    )
    async with door.http() as http:
        listed = (await http.get(f"/v1/conversations/{thread.id}/messages")).json()
    assert {message["content"] for message in listed} == {"there", "ok: there"}


async def test_errors_are_of_openais_form(client: openai.AsyncOpenAI, agent: Agent, door: Door) -> None:
    ask = client.chat.completions.create
    hello: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]
    for stream in (False, True):
        with pytest.raises(openai.NotFoundError) as missing:
            await ask(model="agent-00000000-0000-0000-0000-000000000000", messages=hello, stream=stream)
        assert missing.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        await ask(model="nobody", messages=hello)
    with pytest.raises(openai.BadRequestError) as bad:
        await ask(model="ann", messages=hello, tools=[{"type": "function", "function": {"name": "f"}}])
    assert bad.value.param == "tools"
    with pytest.raises(openai.BadRequestError):
        await ask(model="ann", messages=hello, modalities=["text", "audio"])
    with pytest.raises(openai.BadRequestError):
        await ask(model="ann", messages=[{"role": "system", "content": "only this"}])
    with pytest.raises(openai.BadRequestError):
        await client.post("/chat/completions", body={"model": 1}, cast_to=object)
    async with _openai(door, key="trip_wrong") as stranger:
        with pytest.raises(openai.AuthenticationError) as refused:
            await stranger.models.list()
    assert refused.value.code == "invalid_api_key"


async def test_a_name_that_two_agents_have_is_refused(client: openai.AsyncOpenAI, agent: Agent, door: Door) -> None:
    async with door.client() as own:
        await own.agents.create("ann")
    with pytest.raises(openai.BadRequestError, match="several agents"):
        await client.chat.completions.create(model="ann", messages=[{"role": "user", "content": "hello"}])


async def test_a_failed_turn_is_an_error_whole_or_streamed(client: openai.AsyncOpenAI, agent: Agent) -> None:
    with pytest.raises(openai.InternalServerError):
        await client.chat.completions.create(model="ann", messages=[{"role": "user", "content": "[[status:400]]"}])
    with pytest.raises(openai.APIError):
        async for _ in await client.chat.completions.create(
            model="ann", messages=[{"role": "user", "content": "[[status:400]]"}], stream=True
        ):
            pass


async def test_a_turn_that_waits_for_an_approval_ends_its_answer_whole_or_streamed(
    client: openai.AsyncOpenAI, agent: Agent, door: Door
) -> None:
    async with door.http() as http:
        approval = f"/v1/agents/{agent.id}/tools/approval/memory_insert"
        assert (await http.patch(approval, json={"requires_approval": True})).status_code == 200
        text = '[[call:memory_insert {"label": "human", "new_str": "x"}]] hello'
        whole = await client.chat.completions.create(model="ann", messages=[{"role": "user", "content": text}])
        assert whole.choices[0].finish_reason == "stop"
        await http.post(f"/v1/agents/{agent.id}/messages/cancel", json={})
        stream = await client.chat.completions.create(
            model="ann", messages=[{"role": "user", "content": text}], stream=True
        )
        assert [chunk.choices[0].finish_reason async for chunk in stream][-1] == "stop"


async def test_both_lists_of_models_live_under_one_path(door: Door, agent: Agent, client: openai.AsyncOpenAI) -> None:
    assert [model.id for model in (await client.models.list()).data] == [agent.id]
    assert (await client.models.retrieve("ann")).id == agent.id
    async with _openai(door, base="/openai/v1") as other:
        assert [model.id for model in (await other.models.list()).data] == [agent.id]
    async with AsyncLetta(base_url=door.http_url, api_key=FIRST_KEY) as letta:
        assert [model.name for model in await letta.models.list()] == ["scripted-1"]
        # Of what archival memory is embedded with, whatever that is here.
        assert [each.embedding_dim > 0 for each in await letta.models.embeddings.list()] == [True]


async def test_another_users_agent_is_no_model(door: Door, agent: Agent) -> None:
    key = await door.new_user("bob")
    async with _openai(door, key=key) as bob:
        assert (await bob.models.list()).data == []
        for model in (agent.id, "ann"):
            with pytest.raises(openai.NotFoundError):
                await bob.chat.completions.create(model=model, messages=[{"role": "user", "content": "hello"}])
