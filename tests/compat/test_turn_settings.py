"""What a program can ask of one turn alone, and how much of a name or of tags there may be."""

from __future__ import annotations

from typing import Any

import letta_client
import pytest
from letta_client import AsyncLetta

from tests.support.scripted_model import ScriptedModel


async def test_one_turn_is_answered_by_another_model(letta: AsyncLetta, model: ScriptedModel) -> None:
    agent = await letta.agents.create(name="a", model="scripted")
    await letta.agents.messages.create(agent.id, input="hello", override_model="another")
    assert model.requests[-1]["model"] == "another"
    await letta.agents.messages.create(agent.id, input="hello again")
    assert model.requests[-1]["model"] == "scripted"
    assert (await letta.agents.retrieve(agent.id)).model == "scripted"


async def test_a_program_brings_what_the_agent_has_said(letta: AsyncLetta, model: ScriptedModel) -> None:
    agent = await letta.agents.create(name="a")
    said: list[Any] = [
        {"role": "user", "content": "Who are you?"},
        {"role": "assistant", "content": "A gardener."},
        {"role": "user", "content": "Of what?"},
    ]
    await letta.agents.messages.create(agent.id, messages=said)
    sent = [(each["role"], each["content"]) for each in model.requests[-1]["messages"]]
    assert sent[-3:] == [(each["role"], each["content"]) for each in said]
    kept = [each.message_type async for each in letta.agents.messages.list(agent.id, order="asc")]
    assert kept[-4:] == ["user_message", "assistant_message", "user_message", "assistant_message"]


async def test_an_older_agents_speech_is_a_call_if_the_program_wants_it(letta: AsyncLetta) -> None:
    agent = await letta.agents.create(name="a", agent_type="memgpt_agent")
    asked = '[[call:send_message {"message": "quinces"}]] say it'
    plain = await letta.agents.messages.create(agent.id, input=asked, use_assistant_message=False)
    assert [each.message_type for each in plain.messages][:2] == ["tool_call_message", "tool_return_message"]
    events = await letta.agents.messages.stream(agent.id, input=asked, use_assistant_message=False)
    assert "tool_call_message" in [each.message_type async for each in events]
    usual = await letta.agents.messages.create(agent.id, input=asked)
    assert usual.messages[0].message_type == "assistant_message"


async def test_an_input_may_be_of_parts(letta: AsyncLetta, model: ScriptedModel) -> None:
    agent = await letta.agents.create(name="a")
    await letta.agents.messages.create(agent.id, input=[{"type": "text", "text": "quinces"}])
    assert "quinces" in str(model.requests[-1]["messages"][-1]["content"])


@pytest.mark.parametrize(
    "asked",
    [
        {"override_system": "You are a pirate."},
        {"client_skills": [{"name": "s", "description": "d", "location": "l"}]},
        {"return_logprobs": True},
        {"return_token_ids": True},
        {"top_logprobs": 3},
    ],
)
async def test_what_is_not_done_is_refused(letta: AsyncLetta, model: ScriptedModel, asked: dict[str, Any]) -> None:
    agent = await letta.agents.create(name="a")
    before = len(model.requests)
    with pytest.raises(letta_client.APIStatusError, match=f"{next(iter(asked))} is not supported") as refused:
        await letta.with_options(max_retries=0).agents.messages.create(agent.id, input="hello", **asked)
    assert refused.value.status_code == 501
    assert len(model.requests) == before


async def test_nobody_is_called_back(letta: AsyncLetta) -> None:
    agent = await letta.agents.create(name="a")
    with pytest.raises(letta_client.APIStatusError, match="callback_url is not supported"):
        await letta.with_options(max_retries=0).agents.messages.create_async(
            agent.id, input="hello", callback_url="https://example.com"
        )


@pytest.mark.parametrize("name", ["m" * 501, "a\0b"])
async def test_a_models_name_has_bounds(letta: AsyncLetta, name: str) -> None:
    with pytest.raises(letta_client.UnprocessableEntityError):
        await letta.agents.create(name="a", model=name)
    agent = await letta.agents.create(name="a")
    with pytest.raises(letta_client.UnprocessableEntityError):
        await letta.agents.messages.create(agent.id, input="hello", override_model=name)


async def test_a_block_has_so_many_tags_and_no_more(letta: AsyncLetta) -> None:
    tags = [f"t{number}" for number in range(101)]
    block = await letta.blocks.create(label="a", value="", tags=tags[:100])
    with pytest.raises(letta_client.UnprocessableEntityError, match="tags"):
        await letta.blocks.create(label="b", value="", tags=tags)
    with pytest.raises(letta_client.UnprocessableEntityError, match="tags"):
        await letta.blocks.update(block.id, tags=tags)


async def test_a_turn_tells_of_its_compaction_to_who_wants_it(letta: AsyncLetta) -> None:
    agent = await letta.agents.create(name="a", context_window_limit=4_000)
    told: list[list[str]] = []
    for number in range(12):
        said = f"{number}: " + "quinces and medlars " * 40
        made = await letta.agents.messages.create(agent.id, input=said, include_compaction_messages=True)
        told.append([each.message_type or "" for each in made.messages])
    with_it = next(each for each in told if "event_message" in each)
    assert with_it == ["event_message", "summary_message", "assistant_message"]
    assert ["assistant_message"] in told

    async def streamed(**more: Any) -> list[Any]:
        events: list[Any] = []
        for number in range(12):
            said = f"{number}: " + "quinces and medlars " * 40
            stream = await letta.agents.messages.stream(agent.id, input=said, **more)
            events += [each async for each in stream]
        return events

    events = await streamed(include_compaction_messages=True)
    event = next(each for each in events if each.message_type == "event_message")
    summary = next(each for each in events if each.message_type == "summary_message")
    assert event.event_type == "compaction"
    assert event.event_data["evicted_messages"] > 0
    assert summary.summary
    assert event.seq_id == summary.seq_id
    assert not [each for each in await streamed() if each.message_type in ("event_message", "summary_message")]


async def test_a_stream_is_taken_up_behind_the_pieces_that_were_seen(letta: AsyncLetta) -> None:
    agent = await letta.agents.create(name="a")
    stream = await letta.agents.messages.stream(agent.id, input="hello", stream_tokens=True, background=True)
    events = [each async for each in stream]
    ping, *_ = events
    assert ping.message_type == "ping"
    assert ping.id
    assert ping.date
    pieces = [each for each in events if each.message_type == "assistant_message"]
    assert len(pieces) > 1
    assert ping.run_id == pieces[0].run_id
    rest = await letta.runs.messages.stream(pieces[0].run_id or "", starting_after=pieces[0].seq_id or 0)
    again = [each for each in [each async for each in rest] if each.message_type == "assistant_message"]
    assert [each.content for each in again] == ["".join(str(each.content) for each in pieces)]
    assert {each.otid for each in pieces} == {again[0].otid}


async def test_each_part_of_what_is_said_has_an_otid_that_stays(letta: AsyncLetta) -> None:
    agent = await letta.agents.create(name="a", memory_blocks=[{"label": "human", "value": ""}])
    call = '[[call:memory_insert {"label": "human", "new_string": "x"}]] [[call:conversation_search {"query": "x"}]] do'
    asked: list[Any] = [{"role": "user", "content": call, "otid": "mine"}]
    answered = (await letta.agents.messages.create(agent.id, messages=asked)).messages
    otids = [each.otid for each in answered]
    assert all(otids)
    assert len(set(otids)) == len(otids) > 3
    listed = [each async for each in letta.agents.messages.list(agent.id, order="asc")]
    assert [each.otid for each in listed] == ["mine", *otids]
