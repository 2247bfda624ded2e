"""`GatewayService.Session`: many agents' turns over one stream, each with a window of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.support.door import FIRST_KEY, Door, opened
from tests.support.scripted_model import ScriptedModel
from triptych.agent.v1 import turn_pb2
from triptych.agent.v1.agent_pb2 import Agent
from triptych.errors import NotFound, Unauthenticated
from triptych.gateway.v1 import gateway_pb2 as pb
from triptych.type.v1 import type_pb2


@pytest.fixture
async def door(tmp_path: Path, model: ScriptedModel, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Door]:
    async with opened(tmp_path, capsys, model_url=model.url) as made:
        yield made


@pytest.fixture
async def agents(door: Door) -> list[Agent]:
    async with door.client() as client:
        return [await client.agents.create(f"agent {number}") for number in range(3)]


class Wire:
    """The stream itself, message by message."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address)
        method: Any = self._channel.stream_stream(
            "/triptych.gateway.v1.GatewayService/Session",
            pb.SessionRequest.SerializeToString,
            pb.SessionResponse.FromString,
        )
        self.call: Any = method(metadata=(("authorization", f"Bearer {FIRST_KEY}"),))

    async def __aenter__(self) -> Wire:
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.call.cancel()
        await self._channel.close()

    async def start(self, call_id: str, agent: Agent, text: str, window: int = 0) -> None:
        start = turn_pb2.StartTurnRequest(
            agent_id=agent.id, request_id=call_id, messages=[turn_pb2.InputMessage(text=text)], deltas=True
        )
        await self.call.write(pb.SessionRequest(call_id=call_id, start=start, window=window))

    async def say(self, **action: Any) -> None:
        await self.call.write(pb.SessionRequest(**action))

    async def until_end(self, call_id: str) -> list[pb.SessionResponse]:
        """All that comes, of any call, down to this call's end."""
        came = [await self.call.read()]
        while not (came[-1].call_id == call_id and came[-1].HasField("end")):
            came.append(await self.call.read())
        return came


def kinds(responses: list[pb.SessionResponse], call_id: str) -> list[str | None]:
    return [each.event.WhichOneof("event") for each in responses if each.call_id == call_id and each.HasField("event")]


async def test_turns_of_many_agents_run_side_by_side_on_one_stream(door: Door, agents: list[Agent]) -> None:
    async with door.client() as client, client.session() as session:
        replies = await asyncio.gather(
            *(session.send(agent.id, f"{number} for {agent.name}") for agent in agents for number in range(4))
        )
    assert sorted(reply.text for reply in replies) == sorted(
        f"ok: {number} for {agent.name}" for agent in agents for number in range(4)
    )


async def test_a_turn_that_waits_holds_up_no_other(door: Door, agents: list[Agent], model: ScriptedModel) -> None:
    async with door.client() as client, client.session() as session:
        slow = asyncio.create_task(session.send(agents[0].id, "[[wait]] slow"))
        assert await asyncio.to_thread(model.waiting.wait, 20)
        assert (await session.send(agents[1].id, "quick")).text == "ok: quick"
        assert not slow.done()
        model.release()
        assert (await slow).text == "ok: slow"


async def test_a_call_without_credit_sends_no_more_and_holds_up_no_other(door: Door, agents: list[Agent]) -> None:
    async with Wire(door.address) as wire:
        await wire.start("slow", agents[0], "one two three four", window=2)
        await wire.start("quick", agents[1], "five")
        came = await wire.until_end("quick")
        while len(kinds(came, "slow")) < 2:
            came.append(await wire.call.read())
        assert kinds(came, "quick")[-1] == "done"
        # A third call to its end: were there more of the slow one, it would have come by now.
        await wire.start("third", agents[2], "six")
        came += await wire.until_end("third")
        assert len(kinds(came, "slow")) == 2
        await wire.say(call_id="slow", credit=1000)
        came += await wire.until_end("slow")
        assert kinds(came, "slow")[-1] == "done"
        sequences = [each.event.sequence for each in came if each.call_id == "slow" and each.event.sequence]
        assert sequences == list(range(1, len(sequences) + 1))


async def test_what_goes_wrong_with_a_call_ends_it_alone(door: Door, agents: list[Agent]) -> None:
    async with Wire(door.address) as wire:
        missing = Agent(id="agent-00000000-0000-0000-0000-000000000000")
        await wire.start("bad", missing, "hello")
        end = (await wire.until_end("bad"))[-1].end
        assert (end.error.code, end.error.reason) == (5, type_pb2.ERROR_REASON_NOT_FOUND)
        await wire.start("bad", agents[0], "hello")
        assert not (await wire.until_end("bad"))[-1].end.HasField("error")
    async with door.client() as client, client.session() as session:
        with pytest.raises(NotFound):
            await session.send(missing.id, "hello")
        assert (await session.send(agents[0].id, "again")).text == "ok: again"


async def test_a_call_resumes_behind_the_last_event_received(door: Door, agents: list[Agent]) -> None:
    async with Wire(door.address) as wire:
        await wire.start("first", agents[0], "hello")
        came = await wire.until_end("first")
        events = [each.event for each in came if each.event.sequence]
        resume = turn_pb2.ResumeTurnRequest(turn_id=events[0].turn_id, after_sequence=1)
        await wire.say(call_id="again", resume=resume)
        again = [each.event for each in await wire.until_end("again") if each.HasField("event")]
    assert again == events[1:]


async def test_cancel_stops_a_turn_and_detach_leaves_it_to_itself(
    door: Door, agents: list[Agent], model: ScriptedModel
) -> None:
    async with Wire(door.address) as wire:
        await wire.start("stopped", agents[0], "[[wait]] hello")
        turn_id = (await wire.call.read()).event.turn_id
        assert await asyncio.to_thread(model.waiting.wait, 20)
        await wire.say(call_id="stop", cancel=turn_pb2.CancelTurnRequest(turn_id=turn_id))
        came = await wire.until_end("stopped")
        assert [each.event.done.turn.state for each in came if each.event.HasField("done")][-1] == (
            turn_pb2.TURN_STATE_CANCELLED
        )
        await wire.start("left", agents[1], "[[wait]] hello")
        while (response := await wire.call.read()).call_id != "left":
            pass
        await wire.say(call_id="left", detach=True)
        assert not (await wire.until_end("left"))[-1].end.HasField("error")
        model.release()
        await wire.say(call_id="again", resume=turn_pb2.ResumeTurnRequest(turn_id=response.event.turn_id))
        assert [each.event.WhichOneof("event") for each in await wire.until_end("again")][-2] == "done"


@pytest.mark.parametrize(
    "request_", [pb.SessionRequest(), pb.SessionRequest(call_id="x"), pb.SessionRequest(call_id="x" * 101, credit=1)]
)
async def test_what_no_call_can_be_made_of_ends_the_session(door: Door, request_: pb.SessionRequest) -> None:
    async with Wire(door.address) as wire:
        await wire.call.write(request_)
        assert await wire.call.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_a_session_whose_client_has_no_more_to_say_ends_with_its_last_call(
    door: Door, agents: list[Agent]
) -> None:
    async with Wire(door.address) as wire:
        await wire.start("only", agents[0], "hello")
        await wire.call.done_writing()
        assert kinds(await wire.until_end("only"), "only")[-1] == "done"
        assert await wire.call.read() is grpc.aio.EOF
        assert await wire.call.code() == grpc.StatusCode.OK


async def test_a_revoked_key_begins_no_more_calls(door: Door, agents: list[Agent]) -> None:
    async with door.client() as admin:
        await admin.users.create("bob")
        key = await admin.keys.create("bob")
        async with door.client(key.secret) as bob, bob.session() as session:
            agent = await bob.agents.create("bobs")
            assert (await session.send(agent.id, "hello")).text == "ok: hello"
            await admin.keys.revoke(key.key.id)
            with pytest.raises(Unauthenticated):
                await session.send(agent.id, "hello again")
