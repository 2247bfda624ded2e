"""The embedder away or the index failing while a document is added, and readers that are out of bounds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from archival_service.ingest import Ingest
from archival_service.reading import Limits, Reader
from embedders.openai import OpenAIEmbedder
from servicekit import ids
from servicekit.principal import Tenant
from tests.support.archival import Opened, opened
from tests.support.documents import header, parts
from tests.support.embeddings import DIMENSIONS, EmbeddingsServer, serving, vectors
from tests.support.keys import new_user
from triptych.archival.v1 import archival_pb2 as pb
from triptych.errors import InvalidArgument, Unavailable

MIB = 1024 * 1024
BOOK = b"\n\n".join(b"Paragraph %d. " % number + b"It goes on. " * 60 for number in range(150))


@pytest.fixture
def endpoint() -> Iterator[EmbeddingsServer]:
    with serving() as script:
        yield script


@pytest.fixture
async def archival(tmp_path: Path, endpoint: EmbeddingsServer) -> AsyncIterator[Opened]:
    embedder = OpenAIEmbedder(endpoint.base_url, "m", "", DIMENSIONS)
    async with opened(tmp_path, embedder) as all_of_it:
        yield all_of_it
    await embedder.close()


@pytest.fixture
def tenant() -> Tenant:
    return new_user().tenant


@pytest.fixture
def head() -> pb.DocumentHeader:
    return header(ids.new("archive"), "book.txt")


def limits(memory_mib: int = 1024) -> Limits:
    return Limits(document_bytes=64 * MIB, read_seconds=20, read_bytes=memory_mib * MIB)


async def add(archival: Opened, tenant: Tenant, head: pb.DocumentHeader, content: bytes = BOOK) -> pb.Document:
    ingest = Ingest(archival.store, Reader(limits()))
    *_, last = [answer async for answer in ingest.add(tenant, parts(head, content))]
    return last.document


async def test_without_its_embedder_a_document_stops_and_goes_on_later_where_it_was(
    archival: Opened, endpoint: EmbeddingsServer, tenant: Tenant, head: pb.DocumentHeader
) -> None:
    endpoint.answers = [vectors, lambda _: (401, b"")]
    with pytest.raises(Unavailable):
        await add(archival, tenant, head)
    before = await archival.store.count_passages(tenant, [])
    assert before == 64
    endpoint.asked.clear()
    document = await add(archival, tenant, head)
    assert await archival.store.count_passages(tenant, []) == document.passage_count == 150
    assert sum(len(body["input"]) for body in endpoint.asked) == document.passage_count - before


async def test_a_document_whose_index_failed_is_whole_when_it_is_sent_again(
    archival: Opened, tenant: Tenant, head: pb.DocumentHeader
) -> None:
    archival.index.failing = True
    with pytest.raises(Unavailable):
        await add(archival, tenant, head)
    archival.index.failing = False
    document = await add(archival, tenant, head)
    assert await archival.store.count_passages(tenant, []) == document.passage_count
    assert await archival.index.count() == document.passage_count


async def test_a_file_that_takes_too_much_memory_is_given_up(archival: Opened, tenant: Tenant) -> None:
    ingest = Ingest(archival.store, Reader(limits(memory_mib=200)))
    page = b"<p>" + b"<b>x</b>" * (4 * MIB)
    with pytest.raises(InvalidArgument, match="memory"):
        async for _ in ingest.add(tenant, parts(header(ids.new("archive"), "a.html"), page)):
            pass
    assert await archival.store.count_passages(tenant, []) == 0


async def test_a_reader_gets_nothing_of_the_services_environment(
    archival: Opened, tenant: Tenant, head: pb.DocumentHeader, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Python refuses to start with this, so a reader that got it could not read.
    monkeypatch.setenv("PYTHONHASHSEED", "not a number")
    assert (await add(archival, tenant, head)).passage_count == 150
