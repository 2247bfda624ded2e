"""Steps and runs looked into by letta-client: what was sent and answered, how long it took, how good it was."""

from __future__ import annotations

from typing import Any

import letta_client
import pytest
from letta_client import AsyncLetta

from tests.support.scripted_model import ScriptedModel

_CALL = '[[call:conversation_search {"query": "quinces"}]] look'
_STEP, _RUN = "step-00000000-0000-0000-0000-000000000000", "run-00000000-0000-0000-0000-000000000000"


async def _ran(letta: AsyncLetta) -> tuple[str, str, list[str]]:
    """Ids of an agent, of a run of two steps, and of these, oldest first."""
    agent = await letta.agents.create(name="a")
    reply = await letta.agents.messages.create(agent.id, input=_CALL)
    steps = [step.id async for step in letta.steps.list(agent_id=agent.id, order="asc")]
    assert len(steps) == 2
    return agent.id, reply.messages[0].run_id or "", steps


async def test_a_steps_messages_are_its_answer_and_what_its_calls_returned(letta: AsyncLetta) -> None:
    _, run_id, (first, second) = await _ran(letta)
    said = [message async for message in letta.steps.messages.list(first, order="asc")]
    assert [message.message_type for message in said] == ["tool_call_message", "tool_return_message"]
    assert {message.step_id for message in said} == {first}
    assert [m.message_type async for m in letta.steps.messages.list(second)] == ["assistant_message"]
    of_run = [message async for message in letta.runs.messages.list(run_id, order="asc", limit=1)]
    assert [m.message_type for m in of_run] == [
        "user_message",
        "tool_call_message",
        "tool_return_message",
        "assistant_message",
    ]


async def test_a_steps_trace_is_what_the_model_was_sent_and_answered(letta: AsyncLetta, model: ScriptedModel) -> None:
    _, run_id, (first, _) = await _ran(letta)
    trace = await letta.steps.trace.retrieve(first)
    assert trace is not None
    assert trace.request_json == model.requests[0]
    assert (trace.step_id, trace.run_id) == (first, run_id)
    (choice,) = trace.response_json["choices"]  # type: ignore[attr-defined]
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "conversation_search"


async def test_times_are_measured_and_add_up(letta: AsyncLetta) -> None:
    agent_id, run_id, (first, second) = await _ran(letta)
    metrics = await letta.steps.metrics.retrieve(first)
    assert (metrics.id, metrics.agent_id, metrics.run_id) == (first, agent_id, run_id)
    assert (metrics.llm_request_ns or 0) > 0
    assert (metrics.tool_execution_ns or 0) > 0
    assert metrics.step_ns == (metrics.llm_request_ns or 0) + (metrics.tool_execution_ns or 0)
    assert (await letta.steps.metrics.retrieve(second)).tool_execution_ns == 0
    of_run: Any = await letta.get(f"/v1/runs/{run_id}/metrics", cast_to=object)
    assert of_run["run_ns"] >= (metrics.step_ns or 0)
    assert of_run["num_steps"] == 2
    (tool_id,) = of_run["tools_used"]
    assert (await letta.tools.retrieve(tool_id)).name == "conversation_search"


async def test_a_runs_trace_has_its_model_and_tool_calls_in_order(letta: AsyncLetta) -> None:
    _, run_id, (first, second) = await _ran(letta)
    spans: Any = await letta.runs.trace.retrieve(run_id)
    assert [span["span_name"] for span in spans] == ["agent_run", "llm_request", "tool_call", "llm_request"]
    assert [span["parent_span_id"] for span in spans] == [None, run_id, first, run_id]
    assert spans[3]["span_id"] == second
    starts = [span["start_time_ns"] for span in spans]
    assert starts == sorted(starts)
    assert await letta.runs.trace.retrieve(run_id, limit=1) == spans[:1]


async def test_what_somebody_said_of_a_step_is_kept_found_and_taken_back(letta: AsyncLetta) -> None:
    agent_id, _, (first, second) = await _ran(letta)
    judged = await letta.steps.feedback.create(first, feedback="negative", tags=["invented"])
    assert (judged.feedback, judged.tags) == ("negative", ["invented"])
    assert (await letta.steps.retrieve(first)).feedback == "negative"
    found = [step.id async for step in letta.steps.list(agent_id=agent_id, feedback="negative")]
    assert found == [first]
    assert [step.id async for step in letta.steps.list(agent_id=agent_id, has_feedback=False)] == [second]
    assert (await letta.steps.feedback.create(first)).feedback is None
    assert [step.id async for step in letta.steps.list(has_feedback=True)] == []
    with pytest.raises(letta_client.UnprocessableEntityError):
        await letta.steps.feedback.create(first, feedback="great")  # type: ignore[arg-type]


async def test_runs_steps_and_conversations_are_all_on_some_page_once(letta: AsyncLetta) -> None:
    agent = await letta.agents.create(name="a")
    for text in ("one", "two", "three", "four", "five"):
        await letta.agents.messages.create(agent.id, input=text)
        await letta.conversations.create(agent_id=agent.id)
    runs = [run.id async for run in letta.runs.list(agent_id=agent.id, limit=2)]
    assert len(runs) == len(set(runs)) == 5
    assert [run.id async for run in letta.runs.list(agent_id=agent.id, limit=2, order="asc")] == runs[::-1]
    steps = [step.id async for step in letta.steps.list(agent_id=agent.id, limit=2)]
    assert len(steps) == len(set(steps)) == 5
    assert [run.id for run in (await letta.runs.list(agent_id=agent.id, before=runs[2], limit=1)).items] == [runs[1]]
    listed = await letta.conversations.list(agent_id=agent.id)
    behind = await letta.conversations.list(agent_id=agent.id, after=listed[2].id)
    assert [each.id for each in behind] == [each.id for each in listed[3:]]
    assert (await letta.runs.list(after=_RUN)).items == []


async def test_tools_are_found_by_words_and_run_outside_of_a_turn(letta: AsyncLetta) -> None:
    hits = await letta.tools.search(query="search earlier conversations", limit=3)
    assert hits[0].tool.name == "conversation_search"
    assert [hit.fts_rank for hit in hits] == list(range(1, len(hits) + 1))
    assert await letta.tools.search(query="zebra") == []
    with pytest.raises(letta_client.UnprocessableEntityError):
        await letta.tools.search(limit=0)

    agent = await letta.agents.create(name="a", memory_blocks=[{"label": "human", "value": ""}])
    run = letta.agents.tools.run
    ran = await run("memory_insert", agent_id=agent.id, args={"label": "human", "new_string": "Ann"})
    assert ran.status == "success"
    assert ran.agent_state is not None
    assert ran.agent_state.blocks[0].value.strip() == "Ann"
    await run("archival_memory_insert", agent_id=agent.id, args={"content": "jam"})
    assert [each.text for each in await letta.agents.passages.list(agent.id)] == ["jam"]
    failed = await run("memory_insert", agent_id=agent.id, args={"label": "nobody", "new_string": "x"})
    assert failed.status == "error"
    for asking in (run("memory_insert", agent_id="agent-x"), run("no_such_tool", agent_id=agent.id)):
        with pytest.raises(letta_client.NotFoundError):
            await asking


async def test_recompiling_gives_the_prompt_with_the_memory_as_it_is(letta: AsyncLetta) -> None:
    agent = await letta.agents.create(name="a", memory_blocks=[{"label": "human", "value": "Ann"}])
    conversation = await letta.conversations.create(agent_id=agent.id)
    await letta.agents.blocks.update("human", agent_id=agent.id, value="Bea")
    for prompt in (await letta.agents.recompile(agent.id), await letta.conversations.recompile(conversation.id)):
        assert "Bea" in prompt
    with pytest.raises(letta_client.NotFoundError):
        await letta.conversations.recompile("conv-x")


async def test_a_step_or_run_that_is_not_there_is_not_found(letta: AsyncLetta) -> None:
    for asking in (
        letta.steps.trace.retrieve(_STEP),
        letta.steps.metrics.retrieve(_STEP),
        letta.steps.feedback.create(_STEP, feedback="positive"),
        letta.steps.messages.list(_STEP),
        letta.runs.trace.retrieve(_RUN),
        letta.runs.messages.list(_RUN),
        letta.runs.usage.retrieve(_RUN),
    ):
        with pytest.raises(letta_client.NotFoundError):
            await asking
