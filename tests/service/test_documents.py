"""Files into archival memory, over real gRPC: cut, found, kept apart, added once, refused with a reason."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from servicekit import ids
from servicekit.channel import Peer
from servicekit.principal import Principal
from tests.support import documents
from tests.support.archival import Client, environment, insert_request
from tests.support.documents import add, answers, header, passages_of
from tests.support.keys import new_user, signer
from tests.support.processes import running
from triptych.archival.v1 import archival_pb2 as pb
from triptych.archival.v1.archival_pb2_grpc import ArchivalServiceStub
from triptych.errors import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from triptych.type.v1 import type_pb2

MIB = 1024 * 1024
LIMIT_MB = 4
TEXT = "# Boats\n\n" + "The hull is painted in spring.\n" * 12 + "\n## Cost\n\n" + "Mooring costs 300 a year.\n" * 14
GUIDE = TEXT.encode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("documents")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    limits = {"TRIPTYCH_DOCUMENT_MAX_MB": str(LIMIT_MB), "TRIPTYCH_DOCUMENT_READ_SECONDS": "2"}
    with running("archival_service", environment(folder, **limits)) as service:
        yield service.grpc


@pytest.fixture
async def client(address: str, folder: Path) -> AsyncIterator[Client]:
    peer = Peer("archival_service", address, signer(folder))
    yield Client(peer, ArchivalServiceStub(peer.channel))
    await peer.close()


@pytest.fixture
def ann() -> Principal:
    return new_user()


@pytest.fixture
def archive_id() -> str:
    return ids.new("archive")


async def test_a_file_is_cut_stored_and_found_with_where_it_stands(
    client: Client, ann: Principal, archive_id: str
) -> None:
    head = header(archive_id, "guide.md", tags=["boats"])
    *progress, last = await answers(client, ann, head, GUIDE)
    stages = list(dict.fromkeys(answer.stage for answer in progress))
    assert stages == [
        pb.ADD_DOCUMENT_STAGE_RECEIVING,
        pb.ADD_DOCUMENT_STAGE_READING,
        pb.ADD_DOCUMENT_STAGE_STORING,
    ]
    assert (progress[-1].done, progress[-1].total) == (2, 2)
    document = last.document
    assert (document.file_name, document.media_type, document.passage_count) == ("guide.md", "text/markdown", 2)
    assert (document.size_bytes, document.content_sha256) == (len(GUIDE), documents.sha256(GUIDE))
    assert document.state == pb.DOCUMENT_STATE_COMPLETE
    assert (await client.call("GetDocument", pb.GetDocumentRequest(document_id=document.id), ann)).document == document

    search = pb.SearchPassagesRequest(query="what does mooring cost", limit=1)
    (hit,) = (await client.call("SearchPassages", search, ann)).hits
    source = hit.passage.source
    assert (source.document_id, source.file_name, source.page) == (document.id, "guide.md", 0)
    assert list(source.headings) == ["Boats", "Cost"]
    assert list(hit.passage.tags) == ["boats"]
    assert hit.passage.text == TEXT[source.start : source.end]


async def test_a_hit_in_a_pdf_says_the_page(client: Client, ann: Principal, archive_id: str) -> None:
    pages = ["\n".join(f"line {line} speaks of {what}" for line in range(40)) for what in ("boats", "cats", "trees")]
    done = await add(client, ann, header(archive_id, "book.pdf"), documents.pdf(*pages))
    assert done.document.pages == 3
    search = pb.SearchPassagesRequest(query="cats", limit=1, mode=type_pb2.SEARCH_MODE_LEXICAL)
    (hit,) = (await client.call("SearchPassages", search, ann)).hits
    assert hit.passage.source.page == 2


async def test_searches_and_lists_keep_to_documents_and_files(client: Client, ann: Principal, archive_id: str) -> None:
    one = (await add(client, ann, header(archive_id, "one.txt"), b"a red boat")).document
    await add(client, ann, header(archive_id, "two.txt"), b"a blue boat")
    await client.call("InsertPassages", insert_request("a boat of no file", archive_id=archive_id), ann)
    for which in ({"document_ids": [one.id]}, {"file_names": ["one.txt"]}):
        for mode in type_pb2.SearchMode.values():
            assert await client.search(ann, "boat", mode=mode, **which) == ["a red boat"]
        assert [each.text for each in await passages_of(client, ann, **which)] == ["a red boat"]
    assert await client.search(ann, "boat", document_ids=[one.id], file_names=["two.txt"]) == []
    request = pb.ListDocumentsRequest(archive_ids=[archive_id], file_name="two.txt")
    assert [each.file_name for each in (await client.call("ListDocuments", request, ann)).documents] == ["two.txt"]


async def test_documents_are_listed_page_by_page(client: Client, ann: Principal, archive_id: str) -> None:
    for number in range(3):
        await add(client, ann, header(archive_id, f"{number}.txt"), b"boat %d" % number)
    names, request = [], pb.ListDocumentsRequest(page_size=2)
    while True:
        page = await client.call("ListDocuments", request, ann)
        names.extend(each.file_name for each in page.documents)
        request.page_token = page.next_page_token
        if not request.page_token:
            break
    assert names == ["0.txt", "1.txt", "2.txt"]


async def test_the_same_file_twice_adds_nothing_and_says_so(client: Client, ann: Principal, archive_id: str) -> None:
    first = await add(client, ann, header(archive_id, "guide.md"), GUIDE)
    again = await add(client, ann, header(archive_id, "other-name.md"), GUIDE)
    assert (first.existing, again.existing) == (False, True)
    assert again.document == first.document
    assert len(await passages_of(client, ann)) == 2
    elsewhere = await add(client, ann, header(ids.new("archive"), "guide.md"), GUIDE)
    assert not elsewhere.existing


async def test_content_that_is_there_is_not_asked_for(client: Client, ann: Principal, archive_id: str) -> None:
    await add(client, ann, header(archive_id, "guide.md"), GUIDE)
    head = header(archive_id, "guide.md", content_sha256=documents.sha256(GUIDE))
    (only,) = await answers(client, ann, head, b"")
    assert only.existing


async def test_new_content_of_a_name_takes_the_old_ones_place(client: Client, ann: Principal, archive_id: str) -> None:
    old = await add(client, ann, header(archive_id, "notes.txt"), b"the boat is red")
    new = await add(client, ann, header(archive_id, "notes.txt"), b"the boat is blue")
    assert list(new.replaced_document_ids) == [old.document.id]
    assert await client.search(ann, "boat") == ["the boat is blue"]
    back = await add(client, ann, header(archive_id, "notes.txt"), b"the boat is red")
    assert not back.existing
    assert await client.search(ann, "boat") == ["the boat is red"]


async def test_a_deleted_document_is_gone_and_can_be_added_again(
    client: Client, ann: Principal, archive_id: str
) -> None:
    await client.insert(ann, "a boat of no file")
    document = (await add(client, ann, header(archive_id, "guide.md"), GUIDE)).document
    delete = pb.DeleteDocumentRequest(document_id=document.id, request_id="once")
    for _ in range(2):
        await client.call("DeleteDocument", delete, ann)
    assert [each.text for each in await passages_of(client, ann)] == ["a boat of no file"]
    assert await client.search(ann, "mooring", mode=type_pb2.SEARCH_MODE_LEXICAL) == []
    with pytest.raises(NotFound):
        await client.call("GetDocument", pb.GetDocumentRequest(document_id=document.id), ann)
    with pytest.raises(NotFound):
        await client.call("DeleteDocument", pb.DeleteDocumentRequest(document_id=document.id), ann)
    again = await add(client, ann, header(archive_id, "guide.md"), GUIDE)
    assert not again.existing
    assert len(await passages_of(client, ann, document_ids=[document.id])) == 2


async def test_an_archive_is_deleted_and_purged_with_its_documents(client: Client, ann: Principal) -> None:
    for method, request in (
        ("DeleteArchive", lambda archive_id: pb.DeleteArchiveRequest(archive_id=archive_id)),
        ("PurgeArchives", lambda _: pb.PurgeArchivesRequest(all=True)),
    ):
        archive_id = ids.new("archive")
        await add(client, ann, header(archive_id, "guide.md"), GUIDE)
        await client.call(method, request(archive_id), ann)
        assert not (await client.call("ListDocuments", pb.ListDocumentsRequest(), ann)).documents
        assert not await passages_of(client, ann)


async def test_another_users_document_is_not_there(client: Client, ann: Principal, archive_id: str) -> None:
    document = (await add(client, ann, header(archive_id, "guide.md"), GUIDE)).document
    bob = new_user()
    for method, request in (
        ("GetDocument", pb.GetDocumentRequest(document_id=document.id)),
        ("DeleteDocument", pb.DeleteDocumentRequest(document_id=document.id)),
    ):
        with pytest.raises(NotFound, match=f"Document with ID {document.id} not found"):
            await client.call(method, request, bob)
    assert not (await client.call("ListDocuments", pb.ListDocumentsRequest(archive_ids=[archive_id]), bob)).documents
    assert await client.search(bob, "mooring", document_ids=[document.id]) == []
    # The same file in an archive of the same id is another document of another user.
    theirs = (await add(client, bob, header(archive_id, "guide.md"), GUIDE)).document
    assert theirs.id != document.id
    with pytest.raises(NotFound):
        await add(client, bob, pb.DocumentHeader(archive_id=ids.new("archive"), file_name="a.txt"), b"x")


async def test_two_calls_that_add_the_same_file_leave_it_there_once(
    client: Client, ann: Principal, archive_id: str
) -> None:
    content = b"\n\n".join(b"Paragraph %d. " % number * 50 for number in range(300))
    calls = (add(client, ann, header(archive_id, "big.txt"), content) for _ in range(3))
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert any(isinstance(each, pb.AddDocumentResponse) for each in outcomes)
    for each in outcomes:
        if isinstance(each, BaseException):
            assert isinstance(each, FailedPrecondition)
            assert each.reason == type_pb2.ERROR_REASON_FENCED
    (document,) = (await client.call("ListDocuments", pb.ListDocumentsRequest(), ann)).documents
    assert document.state == pb.DOCUMENT_STATE_COMPLETE
    stored = await passages_of(client, ann)
    assert len(stored) == document.passage_count > 64
    assert [each.source.start for each in stored] == sorted({each.source.start for each in stored})


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.txt", b"", "it is empty"),
        ("a.txt", b"\n \n", "no text found"),
        ("a.txt", bytes(range(256)) * 100, "not text"),
        ("a.pdf", documents.pdf("", ""), "scanned images"),
        ("a.pdf", documents.pdf("x", locked_by="p"), "encrypted"),
        ("a.pdf", documents.pdf("x" * 50)[:300], "damaged"),
        ("a.docx", b"PK\x03\x04 and no more", "damaged"),
        ("a.json", b"[" * 100_000, "nested too deep"),
    ],
)
async def test_a_file_that_can_not_be_read_says_why_and_leaves_nothing(
    client: Client, ann: Principal, archive_id: str, name: str, content: bytes, why: str
) -> None:
    with pytest.raises(InvalidArgument, match=why):
        await add(client, ann, header(archive_id, name), content)
    assert not (await client.call("ListDocuments", pb.ListDocumentsRequest(), ann)).documents
    assert not (await client.call("ListArchives", pb.ListArchivesRequest(), ann)).archives


@pytest.mark.parametrize("said", [True, False])
async def test_a_file_over_the_limit_is_refused_with_the_limit(
    client: Client, ann: Principal, archive_id: str, said: bool
) -> None:
    content = bytes(200 * MIB)
    head = header(archive_id, "a.txt", size_bytes=len(content) if said else 0)
    with pytest.raises(ResourceExhausted, match=f"larger than {LIMIT_MB} MiB"):
        await add(client, ann, head, content)


async def test_a_file_that_takes_too_long_is_given_up_and_others_are_served_meanwhile(
    client: Client, ann: Principal, archive_id: str
) -> None:
    slow = asyncio.create_task(add(client, ann, header(archive_id, "a.html"), b"<p>x" * MIB))
    fast = await add(client, new_user(), header(archive_id, "b.txt"), b"a boat")
    assert fast.document.passage_count == 1
    with pytest.raises(InvalidArgument, match="more than 2 s"):
        await slow


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"archive_id": ""}, "archive_id"),
        ({"archive_id": "mine"}, "archive_id"),
        ({"file_name": " "}, "file_name"),
        ({"file_name": "a\0b"}, "file_name"),
        ({"file_name": "x" * 1001}, "file_name"),
        ({"media_type": "image/png"}, "media_type"),
        ({"tags": ["x"] * 65}, "tags"),
        ({"content_sha256": "X"}, "content_sha256"),
        ({"content_sha256": "0" * 64}, "content_sha256"),
        ({"size_bytes": -1}, "size_bytes"),
        ({"request_id": "x" * 201}, "request_id"),
    ],
)
async def test_a_header_that_makes_no_sense_is_refused_by_field(
    client: Client, ann: Principal, archive_id: str, changes: dict[str, Any], field: str
) -> None:
    head = header(archive_id, "a.txt")
    for name, value in changes.items():
        head.ClearField(name)  # type: ignore[arg-type]
        head.MergeFrom(pb.DocumentHeader(**{name: value}))
    with pytest.raises(InvalidArgument, match=field):
        await add(client, ann, head, b"a boat")


async def test_a_stream_of_other_things_is_refused(client: Client, ann: Principal, archive_id: str) -> None:
    async def chunk_first() -> AsyncIterator[pb.AddDocumentRequest]:
        yield pb.AddDocumentRequest(chunk=b"x")

    async def two_headers() -> AsyncIterator[pb.AddDocumentRequest]:
        for _ in range(2):
            yield pb.AddDocumentRequest(header=header(archive_id, "a.txt"))

    async def nothing() -> AsyncIterator[pb.AddDocumentRequest]:
        for _ in ():
            yield

    for stream, why in ((chunk_first(), "header"), (two_headers(), "chunk"), (nothing(), "header")):
        with pytest.raises(InvalidArgument, match=why):
            async for _ in client.peer.exchange(client.stub.AddDocument, stream, caller=ann):
                pass


async def test_hostile_bytes_in_a_stream_are_an_invalid_argument(client: Client, ann: Principal) -> None:
    async def garbage() -> AsyncIterator[bytes]:
        yield b"\xff\xff\xff"

    method = client.peer.channel.stream_stream("/triptych.archival.v1.ArchivalService/AddDocument")
    with pytest.raises(InvalidArgument, match="is not a triptych"):
        async for _ in client.peer.exchange(method, garbage(), caller=ann):
            pass


async def test_one_owner_adds_only_a_few_files_at_once(client: Client, ann: Principal, archive_id: str) -> None:
    opened, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def waiting(number: int) -> AsyncIterator[pb.AddDocumentRequest]:
        yield pb.AddDocumentRequest(header=header(archive_id, f"{number}.txt"))
        await go_on.wait()
        yield pb.AddDocumentRequest(chunk=b"boat %d" % number)

    async def upload(number: int) -> None:
        async for _ in client.peer.exchange(client.stub.AddDocument, waiting(number), caller=ann):
            opened.release()

    uploads = [asyncio.create_task(upload(number)) for number in range(4)]
    for _ in uploads:
        await opened.acquire()
    with pytest.raises(ResourceExhausted, match="4 documents"):
        await add(client, ann, header(archive_id, "fifth.txt"), b"a boat")
    await add(client, new_user(), header(archive_id, "theirs.txt"), b"a boat")
    go_on.set()
    await asyncio.gather(*uploads)
    await add(client, ann, header(archive_id, "fifth.txt"), b"a boat")


async def test_a_request_id_used_for_another_file_is_refused(client: Client, ann: Principal, archive_id: str) -> None:
    await add(client, ann, header(archive_id, "a.txt", request_id="r"), b"a boat")
    with pytest.raises(FailedPrecondition) as caught:
        await add(client, ann, header(archive_id, "b.txt", request_id="r"), b"a cat")
    assert caught.value.reason == type_pb2.ERROR_REASON_REQUEST_ID_REUSED


async def test_a_source_given_in_an_insert_is_kept_and_checked(client: Client, ann: Principal) -> None:
    request = insert_request("a boat")
    request.passages[0].source.CopyFrom(pb.Source(file_name="a.txt", page=2, start=3, end=9, headings=["Boats"]))
    (stored,) = (await client.call("InsertPassages", request, ann)).passages
    assert stored.source == request.passages[0].source
    assert await passages_of(client, ann, file_names=["a.txt"]) == [stored]
    for wrong in (pb.Source(document_id="x"), pb.Source(page=-1), pb.Source(start=2, end=1)):
        request = insert_request("a boat")
        request.passages[0].source.CopyFrom(wrong)
        with pytest.raises(InvalidArgument, match="source"):
            await client.call("InsertPassages", request, ann)
