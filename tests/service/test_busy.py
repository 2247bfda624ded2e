"""A conversation with more turns than it takes: who comes too late is told so, by gRPC and by REST."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_service.turns import lanes
from tests.support.door import FIRST_KEY, Door, opened
from tests.support.recall import eventually
from tests.support.scripted_model import ScriptedModel
from triptych.errors import Aborted
from triptych.type.v1 import type_pb2

_QUEUE_SECONDS = 4


@pytest.fixture
async def door(
    tmp_path: Path, model: ScriptedModel, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Door]:
    """One turn may wait in a conversation."""
    monkeypatch.setattr(lanes, "MAX_WAITING", 1)
    more = {"TRIPTYCH_TURN_QUEUE_SECONDS": str(_QUEUE_SECONDS)}
    async with opened(tmp_path, capsys, model_url=model.url, more=more) as made:
        yield made


async def test_a_turn_too_many_and_one_that_waited_too_long_are_conflicts_and_others_never_wait(
    door: Door, model: ScriptedModel
) -> None:
    async with door.client() as client, door.http(FIRST_KEY) as http:
        agent, other = [await client.agents.create(name) for name in ("busy", "free")]
        thread = await client.conversations.create(agent.id, title="another")
        url = f"/v1/agents/{agent.id}/messages"

        async def begun() -> int:
            return len([turn async for turn in client.turns.list(agent.id)])

        first = asyncio.create_task(client.turns.send(agent.id, "[[wait]] first"))
        assert await asyncio.to_thread(model.waiting.wait, 20)
        second = asyncio.create_task(http.post(url, json={"input": "second"}))
        await eventually(begun, (2).__eq__)

        third = await http.post(url, json={"input": "third"})
        assert third.status_code == 409, third.text
        assert "already wait" in third.json()["detail"]
        with pytest.raises(Aborted) as busy:
            await client.turns.send(agent.id, "fourth")
        assert busy.value.reason == type_pb2.ERROR_REASON_CONVERSATION_BUSY
        assert (await client.turns.send(other.id, "hello")).text == "ok: hello"
        assert (await client.turns.send(agent.id, "hello", conversation_id=thread.id)).text == "ok: hello"

        out_of_time = await second
        assert out_of_time.status_code == 409, out_of_time.text
        assert f"took longer than {_QUEUE_SECONDS} seconds" in out_of_time.json()["detail"]
        model.release()
        assert (await first).text == "ok: first"
        assert (await client.turns.send(agent.id, "and now")).text == "ok: and now"
