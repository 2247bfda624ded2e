"""Two gateways on one store, in front of the same tiers: it is one door, whichever of them is asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import gateway.server
from servicekit.settings import Environment
from tests.support.door import ALL, Door, announced
from tests.support.recall import eventually
from tests.support.scripted_model import ScriptedModel
from tests.support.stack import running
from triptych.agent.v1.turn_pb2 import TurnEvent
from triptych.errors import NotFound, TriptychError, Unauthenticated


@pytest.fixture
async def doors(
    tmp_path: Path, model: ScriptedModel, postgres_dsn: str, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[tuple[Door, Door]]:
    shared = {"TRIPTYCH_GATEWAY_DSN": postgres_dsn}
    async with running(tmp_path, *ALL, model_url=model.url, more=shared) as stack, contextlib.AsyncExitStack() as more:
        one = announced(capsys.readouterr().out, stack)
        listen = {"TRIPTYCH_GATEWAY_GRPC_LISTEN": stack.environ["TRIPTYCH_GATEWAY_GRPC_LISTEN"] + "-two"}
        await gateway.server.serve(Environment({**stack.environ, **listen}), more)
        yield one, announced(capsys.readouterr().out, stack)


async def test_a_guest_keeps_one_conversation_and_loses_it_everywhere(
    doors: tuple[Door, Door], model: ScriptedModel
) -> None:
    one, two = doors
    async with one.client() as owner, two.client() as also_owner:
        bob = await owner.users.create("bob")
        key = (await owner.keys.create("bob")).secret
        agent = await owner.agents.create("helper")
        await owner.shares.create(agent.id, bob.id)
        async with one.client(key) as at_one, two.client(key) as at_two:
            first = await at_one.shared_agents.send(agent.id, "I am Bob.", request_id="first")
            # The same request at the other door is the same turn, and what follows the same conversation.
            assert (await at_two.shared_agents.send(agent.id, "I am Bob.", request_id="first")).turn == first.turn
            await at_two.shared_agents.send(agent.id, "Who am I?")
            assert "I am Bob." in str(model.requests[-1]["messages"])
            assert len([each async for each in at_one.shared_agents.messages(agent.id)]) == 4

            events: list[TurnEvent] = []

            async def listen() -> None:
                async for event in at_one.shared_agents.stream(agent.id, "[[wait]] slowly"):
                    events.append(event)

            listening = asyncio.create_task(listen())
            assert await asyncio.to_thread(model.waiting.wait, 20)
            await also_owner.shares.revoke(agent.id, bob.id)
            with contextlib.suppress(NotFound):
                await asyncio.wait_for(listening, 20)
            assert not any(event.HasField("message") for event in events)
            model.release()
            for client in (at_one, at_two):
                with pytest.raises(NotFound):
                    await client.shared_agents.send(agent.id, "Still there?")


async def test_keys_and_usage_are_known_at_both(doors: tuple[Door, Door], monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = doors
    monkeypatch.setattr("gateway.usage.book._FRESH_SECONDS", 0.1)
    async with one.client() as admin:
        await admin.users.create("bob")
        made = await admin.keys.create("bob")
        async with one.client(made.secret) as at_one, two.client(made.secret) as at_two:
            agent = await at_one.agents.create("a")
            used = (await at_one.turns.send(agent.id, "hello")).usage.total_tokens
            seen = await eventually(at_two.users.usage, lambda usage: usage.tokens_today == used)
            assert seen.stored_bytes > len("hello")
            await admin.keys.revoke(made.key.id)

            async def refused() -> TriptychError | None:
                try:
                    await at_two.agents.count()
                except TriptychError as error:
                    return error
                return None

            assert isinstance(await eventually(refused, lambda error: error is not None), Unauthenticated)
