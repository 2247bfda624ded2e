"""Sleep-time memory, as letta-client turns it on and off."""

from __future__ import annotations

from typing import Any

import httpx
from letta_client import AsyncLetta

from tests.support.door import Door
from tests.support.recall import eventually
from tests.support.scripted_model import ScriptedModel

INSERT = '[[call:memory_insert {"label": "human", "new_string": "Likes tea.", "sources": [1]}]]'


async def test_it_is_turned_on_and_off_and_keeps_its_settings(letta: AsyncLetta) -> None:
    agent = await letta.agents.create(name="a", enable_sleeptime=True)
    assert agent.enable_sleeptime
    own = {"sleep_time": {"every_turns": 7, "idle_seconds": 60}}
    agent = await letta.agents.update(agent.id, extra_body=own)
    agent = await letta.agents.update(agent.id, enable_sleeptime=False)
    assert not agent.enable_sleeptime
    agent = await letta.agents.update(agent.id, enable_sleeptime=True)
    assert agent.model_extra is not None
    assert (agent.enable_sleeptime, agent.model_extra["sleep_time"]["every_turns"]) == (True, 7)
    assert not (await letta.agents.create(name="b")).enable_sleeptime


async def test_its_runs_are_listed_and_undone(letta: AsyncLetta, door: Door, model: ScriptedModel) -> None:
    model.asleep = f"{INSERT} [[call:memory_finish_edits {{}}]]"
    own: Any = {"sleep_time": {"every_turns": 1}}
    blocks: Any = [{"label": "human", "value": "Ann"}]
    agent = await letta.agents.create(name="a", memory_blocks=blocks, extra_body=own)
    await letta.agents.messages.create(agent.id, input="tea, please")
    assert agent.model_extra is not None
    conversation_id = agent.model_extra["sleep_time"]["conversation_id"]

    async def runs() -> list[Any]:
        return [run async for run in letta.runs.list(agent_id=agent.id, conversation_id=conversation_id)]

    (run,) = await eventually(runs, lambda found: bool(found) and found[0].status == "completed")
    assert (await letta.agents.blocks.retrieve("human", agent_id=agent.id)).value == "Ann\nLikes tea."
    undone = await letta.post(f"/v1/runs/{run.id}/undo", cast_to=httpx.Response)
    assert [block["value"] for block in undone.json()["blocks"]] == ["Ann"]
    assert (await letta.agents.blocks.retrieve("human", agent_id=agent.id)).value == "Ann"
