"""A turn that is cancelled between its acceptance and its beginning ends all the same, and holds up no other."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent_service.stores.turns import TurnRecord
from agent_service.turns import engine
from agent_service.turns.live import LiveTurn, LiveTurns
from tests.support import stack
from tests.support.keys import ANN
from tests.support.scripted_model import ScriptedModel
from triptych.agent.v1 import agent_pb2, turn_pb2
from triptych.agent.v1.agent_pb2_grpc import AgentServiceStub
from triptych.agent.v1.turn_pb2_grpc import TurnServiceStub


class Hasty(LiveTurns):
    """Has its first turn cancelled by who comes just before the turn's own task."""

    cancelled: asyncio.Future[turn_pb2.Turn] | None = None

    def launch(self, record: TurnRecord, *args: Any) -> LiveTurn:
        if Hasty.cancelled is None:
            Hasty.cancelled = asyncio.ensure_future(self._cancel(record))
        return super().launch(record, *args)

    async def _cancel(self, record: TurnRecord) -> turn_pb2.Turn:
        live = self.of(record.tenant, record.turn.id)
        assert live is not None
        assert not live.begun
        await live.cancel()
        return live.record.turn


@pytest.mark.parametrize("waits", [False, True], ids=["alone", "behind another"])
async def test_a_turn_that_is_cancelled_before_it_begins_ends(
    tmp_path: Path, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch, *, waits: bool
) -> None:
    monkeypatch.setattr(engine, "LiveTurns", Hasty)
    services = ("recall_service", "archival_service", "agent_service")
    async with stack.running(tmp_path, *services, model_url=model.url) as running:
        peer = running.peer("agent_service")
        agents, turns = AgentServiceStub(peer.channel), TurnServiceStub(peer.channel)

        async def send(request_id: str, text: str) -> list[turn_pb2.TurnEvent]:
            message = turn_pb2.InputMessage(text=text)
            request = turn_pb2.StartTurnRequest(agent_id=agent.id, request_id=request_id, messages=[message])
            return [each.event async for each in peer.stream(turns.StartTurn, request, caller=ANN)]

        create = agent_pb2.CreateAgentRequest(agent=agent_pb2.Agent(name="a"))
        agent = (await peer.unary(agents.CreateAgent, create, caller=ANN)).agent
        before = None
        if waits:
            Hasty.cancelled = asyncio.get_running_loop().create_future()  # not this one
            before = asyncio.create_task(send("0", "[[wait]] first"))
            assert await asyncio.to_thread(model.waiting.wait, 20)
        Hasty.cancelled = None
        async with asyncio.timeout(60):
            events = await send("1", "hello")
            assert events[-1].done.turn.state == turn_pb2.TURN_STATE_CANCELLED
            assert Hasty.cancelled is not None
            assert (await Hasty.cancelled).state == turn_pb2.TURN_STATE_CANCELLED
            if before is not None:
                model.release()
                assert (await before)[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED
            assert (await send("2", "again"))[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED
        await peer.close()
