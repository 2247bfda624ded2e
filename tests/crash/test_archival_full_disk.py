"""No file of archival_service can grow any more, as on a full disk: a clear error, and what was acknowledged stays."""

from __future__ import annotations

import itertools
import resource
from pathlib import Path

from servicekit.channel import Peer
from servicekit.principal import Principal
from tests.support.archival import Client, environment, insert_request
from tests.support.keys import new_user, signer
from tests.support.processes import running
from triptych.archival.v1 import archival_pb2 as pb
from triptych.archival.v1.archival_pb2_grpc import ArchivalServiceStub
from triptych.errors import Unavailable

_UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
_BYTES = 500_000


async def count(client: Client, ann: Principal) -> int:
    return int((await client.call("CountPassages", pb.CountPassagesRequest(), ann)).count)


async def until_refused(client: Client, ann: Principal) -> tuple[int, pb.InsertPassagesRequest, Unavailable]:
    """Inserts until that fails: how many there are, what failed, and why."""
    for stored in itertools.count():
        request = insert_request(f"boat number {stored} " + "word " * 2_000)
        try:
            await client.call("InsertPassages", request, ann)
        except Unavailable as error:
            return stored, request, error
    raise AssertionError


async def test_a_full_disk_is_a_clear_error_and_nothing_that_was_acknowledged_is_lost(tmp_path: Path) -> None:
    ann, bob, environ = new_user(), new_user(), environment(tmp_path)
    with running("archival_service", environ) as service:
        peer = Peer("archival_service", service.grpc, signer(tmp_path))
        client = Client(peer, ArchivalServiceStub(peer.channel))
        await client.insert(bob, "bob's boat")
        (first,) = await client.insert(ann, "what makes the files that hers go to")
        await client.call("DeletePassage", pb.DeletePassageRequest(passage_id=first.id), ann)
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (_BYTES, resource.RLIM_INFINITY))
        stored, request, error = await until_refused(client, ann)
        assert stored
        assert "the store's disk failed" in error.message
        assert await client.search(bob, "boat") == ["bob's boat"]
        assert len(await client.search(ann, "boat", limit=100)) >= stored

        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, _UNLIMITED)
        await client.call("InsertPassages", request, ann)
        assert await count(client, ann) == stored + 1
        assert len(await client.search(ann, "boat", limit=100)) == stored + 1
        await peer.close()
        assert service.stop() == 0
    with running("archival_service", environ) as service:
        peer = Peer("archival_service", service.grpc, signer(tmp_path))
        client = Client(peer, ArchivalServiceStub(peer.channel))
        assert await count(client, ann) == stored + 1
        assert len(await client.search(ann, "boat", limit=100)) == stored + 1
        assert await client.search(bob, "boat") == ["bob's boat"]
        await peer.close()
