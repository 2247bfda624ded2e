"""A key that is revoked ends the streams that were opened with it; the turns they showed go on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.support.door import opened
from tests.support.recall import eventually
from tests.support.scripted_model import ScriptedModel
from triptych import AsyncTriptych
from triptych.agent.v1.turn_pb2 import TURN_STATE_COMPLETED as _COMPLETED
from triptych.agent.v1.turn_pb2 import Turn
from triptych.errors import Unauthenticated


@pytest.mark.parametrize("how", ["stream", "session", "sse"])
async def test_a_stream_that_is_under_way_is_cut_when_its_key_is_revoked(
    tmp_path: Path, model: ScriptedModel, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    async with opened(tmp_path, capsys, model_url=model.url) as door, door.client() as admin:
        await admin.users.create("bob")
        made = await admin.keys.create("bob")
        async with door.client(made.secret) as bob, door.http(made.secret) as http:
            agent = await bob.agents.create("a")

            async def listen() -> None:
                if how == "sse":
                    body = {"input": "[[wait]] slowly"}
                    async with http.stream("POST", f"/v1/agents/{agent.id}/messages/stream", json=body) as answer:
                        async for _ in answer.aiter_bytes():
                            pass
                elif how == "session":
                    async with bob.session() as session:
                        await session.send(agent.id, "[[wait]] slowly")
                else:
                    await bob.turns.send(agent.id, "[[wait]] slowly")

            listening = asyncio.create_task(listen())
            assert await asyncio.to_thread(model.waiting.wait, 20)
            await admin.keys.revoke(made.key.id)
            cut = httpx.HTTPError if how == "sse" else Unauthenticated
            with pytest.raises(cut):
                await asyncio.wait_for(listening, 15)
        # The turn is not its reader's: it goes on.
        model.release()
        async with door.client((await admin.keys.create("bob")).secret) as bob:
            turns = await eventually(lambda: _turns(bob, agent.id), lambda found: found[0].state == _COMPLETED)
            assert len(turns) == 1


async def _turns(client: AsyncTriptych, agent_id: str) -> list[Turn]:
    return [turn async for turn in client.turns.list(agent_id)]
