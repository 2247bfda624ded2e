"""Two replicas of a tier on one shared store, behind client-side round robin."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from servicekit import ids
from servicekit.channel import Peer
from servicekit.principal import Principal
from tests.support import archival, recall
from tests.support.keys import new_user, signer
from tests.support.processes import Service, running
from tests.support.qdrant_facade import serving
from triptych.archival.v1 import archival_pb2 as archival_pb
from triptych.archival.v1.archival_pb2_grpc import ArchivalServiceStub
from triptych.errors import TriptychError
from triptych.recall.v1 import recall_pb2 as pb
from triptych.recall.v1.recall_pb2_grpc import RecallServiceStub

T = TypeVar("T")
_WRITERS, _BATCHES = 8, 15


def _both(first: Service, second: Service) -> str:
    """One name for two addresses, as headless DNS gives it."""
    return f"ipv4:{first.grpc},{second.grpc}"


async def _until_acknowledged(call: Callable[[], Awaitable[T]]) -> T:
    """Sends it again and again, as every caller of ours does: its `request_id` makes that safe."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await call()
            except TriptychError:
                await asyncio.sleep(0.01)


async def _append(peer: Peer, caller: Principal, request: pb.AppendMessagesRequest) -> list[pb.Message]:
    stub = RecallServiceStub(peer.channel)
    answer = await _until_acknowledged(lambda: peer.unary(stub.AppendMessages, request, caller=caller, seconds=5))
    return list(answer.messages)


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


@pytest.mark.parametrize("one_dies", [False, True])
async def test_archival_loses_and_doubles_nothing(tmp_path: Path, postgres_dsn: str, one_dies: bool) -> None:
    async with serving() as facade:
        environ = archival.environment(
            tmp_path, TRIPTYCH_ARCHIVAL_DSN=postgres_dsn, TRIPTYCH_ARCHIVAL_QDRANT_URL=facade.url
        )
        start = partial(asyncio.to_thread, Service, "archival_service", environ)
        first, second = await asyncio.gather(start(), start())
        peer, ann = Peer("archival_service", _both(first, second), signer(tmp_path)), new_user()
        client = archival.Client(peer, ArchivalServiceStub(peer.channel))
        half_done = asyncio.Event()
        name = ids.new("archive")

        async def write(writer: int) -> None:
            for number in range(_BATCHES):
                request = archival.insert_request(f"boat {writer}-{number}", archive_id=name)
                await _until_acknowledged(lambda request=request: client.call("InsertPassages", request, ann))
                if number == _BATCHES // 2:
                    half_done.set()

        writing = [asyncio.create_task(write(writer)) for writer in range(_WRITERS)]
        await half_done.wait()
        if one_dies:
            second.kill()
        await asyncio.gather(*writing)
        wanted = {f"boat {writer}-{number}" for writer in range(_WRITERS) for number in range(_BATCHES)}
        listed = await _until_acknowledged(
            lambda: client.call("ListPassages", archival_pb.ListPassagesRequest(page_size=1000), ann)
        )
        assert sorted(passage.text for passage in listed.passages) == sorted(wanted)
        found = await recall.eventually(lambda: client.search(ann, "boat", limit=100, mode=1), lambda f: len(f) == 100)
        assert set(found) <= wanted
        first.kill()
        second.kill()
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

        # The first may have claimed it before it died: then it is its own for a minute.
        assert await recall.eventually(look, lambda found: found == 1, seconds=150) == 1
        await peer.close()
