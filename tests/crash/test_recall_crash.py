"""SIGKILL of recall_service right after what it has acknowledged."""

from __future__ import annotations

import asyncio
from pathlib import Path

from servicekit.channel import Peer
from tests.support.embeddings import DIMENSIONS, serving, vectors
from tests.support.keys import new_user, signer
from tests.support.processes import running
from tests.support.recall import batch, environment, eventually
from triptych.recall.v1 import recall_pb2 as pb
from triptych.recall.v1.recall_pb2_grpc import RecallServiceStub
from triptych.type.v1 import type_pb2


async def test_what_was_acknowledged_outlives_a_kill_and_is_embedded_after_it(tmp_path: Path) -> None:
    gateway, ann = signer(tmp_path), new_user()
    requests = [batch(f"message {number}", conversation=f"conv-{number % 3}") for number in range(30)]
    with serving() as endpoint:
        endpoint.always = lambda _: (401, b"")  # so that none is embedded before the kill
        environ = {
            **environment(tmp_path),
            "TRIPTYCH_EMBEDDER": "openai",
            "TRIPTYCH_EMBEDDER_BASE_URL": endpoint.base_url,
            "TRIPTYCH_EMBEDDER_MODEL": "m",
            "TRIPTYCH_EMBEDDER_DIMENSIONS": str(DIMENSIONS),
        }
        with running("recall_service", environ) as service:
            peer = Peer("recall_service", service.grpc, gateway)
            stub = RecallServiceStub(peer.channel)
            before = await asyncio.gather(*(peer.unary(stub.AppendMessages, each, caller=ann) for each in requests))
            service.kill()
            await peer.close()
        endpoint.always = vectors
        with running("recall_service", environ) as service:
            peer = Peer("recall_service", service.grpc, gateway)
            stub = RecallServiceStub(peer.channel)
            search = pb.SearchMessagesRequest(query="user: message 1", mode=type_pb2.SEARCH_MODE_SEMANTIC, limit=100)
            # Messages 0 to 9 are as long as the query, with who said them: that is what the endpoint's vectors say.
            # Nothing is appended before it, which would wake who embeds.
            await eventually(
                lambda: peer.unary(stub.SearchMessages, search, caller=ann),
                lambda answer: len(answer.hits) == 10,
                seconds=30,
            )
            assert [await peer.unary(stub.AppendMessages, each, caller=ann) for each in requests] == before
            counted = await peer.unary(stub.CountMessages, pb.CountMessagesRequest(), caller=ann)
            assert counted.count == 30
            await peer.close()
