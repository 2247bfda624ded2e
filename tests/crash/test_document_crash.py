"""SIGKILL while a document is added: sent again, it is there once and whole."""

from __future__ import annotations

import contextlib
from pathlib import Path

from servicekit import ids
from servicekit.channel import Peer
from tests.support.archival import Client, environment
from tests.support.documents import add, header, parts, passages_of
from tests.support.keys import new_user, signer
from tests.support.processes import Service, running
from triptych.archival.v1 import archival_pb2 as pb
from triptych.archival.v1.archival_pb2_grpc import ArchivalServiceStub
from triptych.errors import TriptychError

BOOK = b"\n\n".join(b"Paragraph %d of the book. " % number + b"It goes on. " * 55 for number in range(400))


def connect(service: Service, folder: Path) -> Client:
    peer = Peer("archival_service", service.grpc, signer(folder))
    return Client(peer, ArchivalServiceStub(peer.channel))


async def test_a_document_cut_off_by_a_kill_is_completed_when_it_is_sent_again(tmp_path: Path) -> None:
    ann, archive_id, environ = new_user(), ids.new("archive"), environment(tmp_path)
    head = header(archive_id, "book.txt", tags=["novel"])
    with running("archival_service", environ) as service:
        client = connect(service, tmp_path)
        with contextlib.suppress(TriptychError):
            async for answer in client.peer.exchange(client.stub.AddDocument, parts(head, BOOK), caller=ann):
                if answer.stage == pb.ADD_DOCUMENT_STAGE_STORING and answer.done >= 128:
                    service.kill()
        await client.peer.close()
    with running("archival_service", environ) as service:
        client = connect(service, tmp_path)
        (half,) = (await client.call("ListDocuments", pb.ListDocumentsRequest(), ann)).documents
        before = {each.id: each for each in await passages_of(client, ann)}
        assert half.state == pb.DOCUMENT_STATE_INCOMPLETE
        assert 128 <= len(before) < half.passage_count

        done = await add(client, ann, head, BOOK)
        assert not done.existing
        assert done.document.id == half.id
        after = await passages_of(client, ann)
        assert {each.id: each for each in after if each.id in before} == before

        undisturbed = new_user()
        await add(client, undisturbed, head, BOOK)
        wanted = await passages_of(client, undisturbed)
        assert [each.text for each in after] == [each.text for each in wanted]
        assert len(after) == done.document.passage_count
        count = pb.CountPassagesRequest(archive_ids=[archive_id])
        assert (await client.call("CountPassages", count, ann)).count == len(after)
        found = await client.search(ann, "paragraph 399", limit=1)
        assert "Paragraph 399" in found[0]
        await client.peer.close()


async def test_a_half_added_document_starts_over_if_it_comes_with_other_tags(tmp_path: Path) -> None:
    ann, archive_id = new_user(), ids.new("archive")
    with running("archival_service", environment(tmp_path)) as service:
        client = connect(service, tmp_path)
        stream = client.peer.exchange(
            client.stub.AddDocument, parts(header(archive_id, "book.txt", tags=["old"]), BOOK), caller=ann
        )
        async for answer in stream:
            if answer.stage == pb.ADD_DOCUMENT_STAGE_STORING and answer.done:
                break
        await stream.aclose()
        done = await add(client, ann, header(archive_id, "book.txt", tags=["new"]), BOOK)
        stored = await passages_of(client, ann)
        assert len(stored) == done.document.passage_count
        assert {tag for each in stored for tag in each.tags} == {"new"}
        await client.peer.close()
