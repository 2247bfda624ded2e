"""Two replicas of a tier on one shared store, behind client-side round robin."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from servicekit.channel import Peer
from servicekit.principal import Principal
from tests.support import recall
from tests.support.keys import new_user, signer
from tests.support.processes import Service, running
from triptych.errors import TriptychError
from triptych.recall.v1 import recall_pb2 as pb
from triptych.recall.v1.recall_pb2_grpc import RecallServiceStub

_WRITERS, _BATCHES = 8, 15


def _both(first: Service, second: Service) -> str:
    """One name for two addresses, as headless DNS gives it."""
    return f"ipv4:{first.grpc},{second.grpc}"


async def _append(peer: Peer, caller: Principal, request: pb.AppendMessagesRequest) -> list[pb.Message]:
    """Sends it until it is acknowledged, as every caller of ours does: its `request_id` makes that safe."""
    stub = RecallServiceStub(peer.channel)
    async with asyncio.timeout(30):
        while True:
            try:
                return list((await peer.unary(stub.AppendMessages, request, caller=caller, seconds=5)).messages)
            except TriptychError:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("one_dies", [False, True])
async def test_recall_loses_doubles_and_reorders_nothing(tmp_path: Path, postgres_dsn: str, one_dies: bool) -> None:
    environ = {**recall.environment(tmp_path), "TRIPTYCH_RECALL_DSN": postgres_dsn}
    with running("recall_service", environ) as first, running("recall_service", environ) as second:
        peer, ann = Peer("recall_service", _both(first, second), signer(tmp_path)), new_user()
        half_done = asyncio.Event()

        async def write(writer: int) -> list[pb.Message]:
            acknowledged: list[pb.Message] = []
            for number in range(_BATCHES):
                acknowledged += await _append(
                    peer, ann, recall.batch(f"{writer}-{number}a", f"{writer}-{number}b", conversation=f"c{writer % 2}")
                )
                if number == _BATCHES // 2:
                    half_done.set()
            return acknowledged

        writing = [asyncio.create_task(write(writer)) for writer in range(_WRITERS)]
        await half_done.wait()
        if one_dies:
            second.kill()
        acknowledged = [await each for each in writing]
        for conversation in ("c0", "c1"):
            stub = RecallServiceStub(peer.channel)
            listed = pb.ListMessagesRequest(conversation_id=conversation, page_size=1000)
            kept = list((await peer.unary(stub.ListMessages, listed, caller=ann)).messages)
            assert [message.sequence for message in kept] == list(range(1, _WRITERS // 2 * _BATCHES * 2 + 1))
            for writer in range(int(conversation[1]), _WRITERS, 2):
                mine = [message for message in kept if message.text.startswith(f"{writer}-")]
                assert mine == acknowledged[writer]
                wanted = [f"{writer}-{number}{part}" for number in range(_BATCHES) for part in "ab"]
                assert [message.text for message in mine] == wanted
        await peer.close()


async def test_what_a_dead_replica_left_to_be_embedded_is_embedded(tmp_path: Path, postgres_dsn: str) -> None:
    environ = {**recall.environment(tmp_path), "TRIPTYCH_RECALL_DSN": postgres_dsn}
    ann = new_user()
    with running("recall_service", environ) as first:
        peer = Peer("recall_service", first.grpc, signer(tmp_path))
        await _append(peer, ann, recall.batch("purple elephants", request="r"))
        first.kill()
        await peer.close()
    with running("recall_service", environ) as second:
        peer = Peer("recall_service", second.grpc, signer(tmp_path))
        stub = RecallServiceStub(peer.channel)
        search = pb.SearchMessagesRequest(query="violet mammoths", mode=2)

        async def look() -> int:
            return len((await peer.unary(stub.SearchMessages, search, caller=ann)).hits)

        assert await recall.eventually(look, lambda found: found == 1) == 1
        await peer.close()
