"""Steps, compaction and reset, as letta-client asks for them."""

from __future__ import annotations

import letta_client
import pytest
from letta_client import AsyncLetta

from tests.support.scripted_model import ScriptedModel


async def test_every_model_call_of_a_run_is_a_step_with_what_it_cost(letta: AsyncLetta) -> None:
    agent = await letta.agents.create(name="a")
    edit = '[[call:memory_rethink {"label": "human", "new_memory": "Ann"}]] hello'
    reply = await letta.agents.messages.create(agent.id, input=edit)
    steps = [step async for step in letta.steps.list(agent_id=agent.id)]
    assert len(steps) == 2
    assert {step.agent_id for step in steps} == {agent.id}
    assert sum(step.total_tokens or 0 for step in steps) == reply.usage.total_tokens > 0
    run_id = steps[0].run_id or ""
    assert [step.id async for step in letta.runs.steps.list(run_id)] == [step.id for step in steps]
    assert (await letta.steps.retrieve(steps[1].id)).completion_tokens == steps[1].completion_tokens
    with pytest.raises(letta_client.NotFoundError):
        await letta.steps.retrieve("step-00000000-0000-0000-0000-000000000000")


async def test_compacting_folds_the_window_into_a_summary_and_recall_keeps_all(letta: AsyncLetta) -> None:
    agent = await letta.agents.create(name="a")
    for text in ("one", "two", "three"):
        await letta.agents.messages.create(agent.id, input=text)
    before = [message.id async for message in letta.agents.messages.list(agent.id)]
    made = await letta.agents.messages.compact(agent.id, compaction_settings={"mode": "all"})
    assert made.summary
    assert (made.num_messages_before, made.num_messages_after) == (6, 0)
    assert [message.id async for message in letta.agents.messages.list(agent.id)] == before


async def test_after_a_reset_nothing_of_before_is_in_view_and_recall_keeps_all(
    letta: AsyncLetta, model: ScriptedModel
) -> None:
    agent = await letta.agents.create(name="a")
    await letta.agents.messages.create(agent.id, input="quinces")
    shown = await letta.agents.messages.reset(agent.id, add_default_initial_messages=True)
    assert shown is not None
    assert shown.id == agent.id
    await letta.agents.messages.create(agent.id, input="plums")
    assert "quinces" not in str(model.requests[-1]["messages"])
    said = [message async for message in letta.agents.messages.list(agent.id)]
    assert "quinces" in str(said)
