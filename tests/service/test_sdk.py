"""The SDK against a real server that breaks streams off."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from triptych import AsyncTriptych, Triptych
from triptych.agent.v1 import turn_pb2 as pb
from triptych.agent.v1 import turn_pb2_grpc
from triptych.errors import Unauthenticated, Unavailable
from triptych.recall.v1.recall_pb2 import Message
from triptych.sdk import connection

EVENTS = [
    pb.TurnEvent(turn_id="run-1", sequence=1, accepted=pb.TurnAccepted()),
    pb.TurnEvent(turn_id="run-1", sequence=2, message=Message(id="m", text="hello")),
    pb.TurnEvent(turn_id="run-1", sequence=3, usage=pb.Usage(total_tokens=5)),
    pb.TurnEvent(turn_id="run-1", sequence=4, done=pb.TurnDone(turn=pb.Turn(id="run-1"))),
]


class BreakingTurns(turn_pb2_grpc.TurnServiceServicer):
    """Breaks every stream off after `each` events."""

    def __init__(self, each: int) -> None:
        self._each = each
        self.request_ids: list[str] = []

    async def StartTurn(self, request: pb.StartTurnRequest, context: Any) -> AsyncIterator[pb.StartTurnResponse]:
        self.request_ids.append(request.request_id)
        for event in EVENTS[: self._each]:
            yield pb.StartTurnResponse(event=event)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "broken off")

    async def ResumeTurn(self, request: pb.ResumeTurnRequest, context: Any) -> AsyncIterator[pb.ResumeTurnResponse]:
        for event in EVENTS[request.after_sequence :][: self._each]:
            yield pb.ResumeTurnResponse(event=event)
            if event.HasField("done"):
                return
        await context.abort(grpc.StatusCode.UNAVAILABLE, "broken off")


@pytest.mark.parametrize("each", [1, 2, 3])
async def test_a_stream_that_breaks_is_taken_up_without_loss_or_doubling(each: int) -> None:
    servicer = BreakingTurns(each)
    server = grpc.aio.server()
    turn_pb2_grpc.add_TurnServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with AsyncTriptych(f"127.0.0.1:{port}", "key") as client:
        events = [event async for event in client.turns.stream("agent-1", "hello")]
        reply = await client.turns.send("agent-1", "hello", request_id="mine")
    await server.stop(0)
    assert [event.sequence for event in events] == [1, 2, 3, 4]
    assert reply.text == "hello"
    assert servicer.request_ids[-1] == "mine"


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with Triptych("127.0.0.1:9", "key", timeout_seconds=2) as client, pytest.raises(Unavailable):
        client.agents.count()


def test_it_says_what_to_do_when_no_server_or_no_key_is_known(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="triptych up"):
        connection.find(data=tmp_path)
    with pytest.raises(Unauthenticated, match="TRIPTYCH_API_KEY"):
        connection.find(address="x:1", data=tmp_path)


def test_the_key_that_triptych_up_left_goes_to_its_server_alone(tmp_path: Path) -> None:
    running = {"grpc_address": "127.0.0.1:7410", "api_key": "trip_first"}
    (tmp_path / "ready.json").write_text(json.dumps(running))
    assert connection.find(data=tmp_path) == ("127.0.0.1:7410", "trip_first")
    assert connection.find(address="127.0.0.1:7410", data=tmp_path) == ("127.0.0.1:7410", "trip_first")
    assert connection.find(api_key="mine", data=tmp_path) == ("127.0.0.1:7410", "mine")
    with pytest.raises(Unauthenticated, match="TRIPTYCH_API_KEY"):
        connection.find(address="elsewhere.example:7410", data=tmp_path)


@pytest.mark.parametrize("client", [Triptych, AsyncTriptych])
@pytest.mark.parametrize("key", ["trip_x\n", "trip_\N{LATIN SMALL LETTER E WITH ACUTE}", "trip_\0"])
async def test_what_can_not_be_a_key_is_refused_at_once(client: Any, key: str) -> None:
    with pytest.raises(Unauthenticated, match="characters that no key has"):
        client("127.0.0.1:9", key)


async def test_both_clients_have_the_same_methods() -> None:
    client, twin = Triptych("x:1", "k"), AsyncTriptych("x:1", "k")
    for resource in ("agents", "blocks", "turns", "recall", "archival", "memory", "users", "keys"):
        assert [n for n in dir(getattr(client, resource)) if n[0] != "_"] == [
            n for n in dir(getattr(twin, resource)) if n[0] != "_"
        ]
    client.close()


def test_the_contract_alone_loads_no_client() -> None:
    program = "import sys, triptych.agent.v1.turn_pb2; sys.exit('triptych.sdk' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=30).returncode == 0
