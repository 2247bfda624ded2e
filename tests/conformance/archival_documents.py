"""What every archival store promises of documents."""

from __future__ import annotations

import pytest

from archival_service.store import ArchivalStore, Begun, Filters, Query
from archival_service.stores.documents import batch_request_id
from servicekit import ids, paging
from servicekit.principal import Tenant
from triptych.archival.v1 import archival_pb2 as pb
from triptych.errors import FailedPrecondition, NotFound
from triptych.type.v1 import type_pb2
from triptych.type.v1.type_pb2 import Fence

ARCHIVE = ids.derived("archive", "documents")


def document(file_name: str, content: str = "content") -> pb.Document:
    return pb.Document(
        id=ids.derived("document", content), archive_id=ARCHIVE, file_name=file_name, media_type="text/plain"
    )


async def begin(store: ArchivalStore, tenant: Tenant, wanted: pb.Document, fingerprint: str = "f") -> Begun:
    return await store.begin_document(tenant, wanted, fingerprint, "files", "")


async def put(store: ArchivalStore, tenant: Tenant, begun: Begun, *texts: str, number: int = 0) -> list[pb.Passage]:
    """A batch of passages of the document."""
    request = pb.InsertPassagesRequest(
        archive_id=begun.document.archive_id,
        request_id=batch_request_id(begun.document.id, number),
        fence=begun.fence,
        create_archive_name="files",
    )
    for position, text in enumerate(texts):
        passage_id = ids.derived("passage", begun.document.id, number, position)
        source = pb.Source(document_id=begun.document.id, file_name=begun.document.file_name, start=position, end=99)
        request.passages.add(id=passage_id, text=text, source=source)
    return await store.insert(tenant, request)


async def texts(store: ArchivalStore, tenant: Tenant, **which: object) -> list[str]:
    page = paging.read(size=0, token="", query=())
    found, _ = await store.list_passages(tenant, pb.ListPassagesRequest(**which), page)  # type: ignore[arg-type]
    return [each.text for each in found]


class Documents:
    """Begun, added to, finished; sent again, replaced, cut off, deleted."""

    async def test_a_document_is_incomplete_until_it_is_finished(self, store: ArchivalStore, tenant: Tenant) -> None:
        begun = await begin(store, tenant, document("a.txt"))
        stored = await put(store, tenant, begun, "a boat", "a cat")
        assert begun.document.state == pb.DOCUMENT_STATE_INCOMPLETE
        finished, replaced = await store.finish_document(tenant, begun, "")
        assert (finished.state, replaced) == (pb.DOCUMENT_STATE_COMPLETE, [])
        assert await store.get_document(tenant, finished.id) == finished
        filters = Filters(document_ids=(finished.id,))
        (hit,) = await store.search(tenant, Query("boat", type_pb2.SEARCH_MODE_LEXICAL), filters, 10)
        assert hit.passage == stored[0]
        assert hit.passage.source.file_name == "a.txt"

    async def test_one_that_is_begun_again_goes_on_and_fences_the_first_off(
        self, store: ArchivalStore, tenant: Tenant
    ) -> None:
        first = await begin(store, tenant, document("a.txt"))
        await put(store, tenant, first, "one")
        second = await begin(store, tenant, document("a.txt"))
        assert await texts(store, tenant) == ["one"]
        for late in (put(store, tenant, first, "two", number=1), store.finish_document(tenant, first, "")):
            with pytest.raises(FailedPrecondition) as caught:
                await late
            assert caught.value.reason == type_pb2.ERROR_REASON_FENCED
        await put(store, tenant, second, "one")
        await put(store, tenant, second, "two", number=1)
        await store.finish_document(tenant, second, "")
        assert await texts(store, tenant) == ["one", "two"]

    async def test_what_was_made_another_way_starts_over(self, store: ArchivalStore, tenant: Tenant) -> None:
        await put(store, tenant, await begin(store, tenant, document("a.txt"), "old"), "cut the old way")
        anew = await begin(store, tenant, document("a.txt"), "new")
        assert await texts(store, tenant) == []
        await put(store, tenant, anew, "cut the new way")
        assert await texts(store, tenant) == ["cut the new way"]
        for mode in (type_pb2.SEARCH_MODE_LEXICAL, type_pb2.SEARCH_MODE_SEMANTIC):
            hits = await store.search(tenant, Query("cut way", mode), Filters(), 10)
            assert [hit.passage.text for hit in hits] == ["cut the new way"]

    async def test_a_finished_one_takes_the_place_of_its_namesakes_in_the_archive(
        self, store: ArchivalStore, tenant: Tenant
    ) -> None:
        for name in ("a.txt", "b.txt"):
            begun = await begin(store, tenant, document(name, f"old {name}"))
            await put(store, tenant, begun, f"old {name}")
            await store.finish_document(tenant, begun, "")
        begun = await begin(store, tenant, document("a.txt", "new"))
        await put(store, tenant, begun, "new a.txt")
        assert sorted(await texts(store, tenant)) == ["new a.txt", "old a.txt", "old b.txt"]
        _, replaced = await store.finish_document(tenant, begun, "")
        assert replaced == [ids.derived("document", "old a.txt")]
        assert sorted(await texts(store, tenant)) == ["new a.txt", "old b.txt"]
        assert await texts(store, tenant, file_names=["a.txt"]) == ["new a.txt"]

    async def test_a_deleted_one_is_gone_with_what_was_being_added(self, store: ArchivalStore, tenant: Tenant) -> None:
        begun = await begin(store, tenant, document("a.txt"))
        await put(store, tenant, begun, "one")
        await store.delete_document(tenant, begun.document.id, "")
        with pytest.raises(FailedPrecondition):
            await put(store, tenant, begun, "two", number=1)
        assert await texts(store, tenant) == []
        for gone in (
            store.get_document(tenant, begun.document.id),
            store.delete_document(tenant, begun.document.id, ""),
        ):
            with pytest.raises(NotFound):
                await gone
        again = await begin(store, tenant, document("a.txt"))
        await put(store, tenant, again, "one")
        assert await texts(store, tenant) == ["one"]

    async def test_one_whose_passages_were_inserted_by_themselves_is_listed_again(
        self, store: ArchivalStore, tenant: Tenant
    ) -> None:
        begun = await begin(store, tenant, document("a.txt"))
        await put(store, tenant, begun, "a boat", "a cat")
        finished, _ = await store.finish_document(tenant, begun, "")
        other = Tenant(tenant.account_id, "another-user")
        with pytest.raises(NotFound):
            await store.restore_document(other, finished)
        await put(store, other, Begun(finished, Fence()), "a boat", "a cat")
        with pytest.raises(NotFound):  # of another archive
            await store.restore_document(other, pb.Document(id=finished.id, archive_id=ids.new("archive")))
        finished.passage_count = 2  # what is there is counted
        assert await store.restore_document(other, finished) == finished
        assert await store.restore_document(other, pb.Document(id=finished.id)) == finished
        assert await store.get_document(other, finished.id) == finished

    async def test_another_owners_document_is_not_there(self, store: ArchivalStore, tenant: Tenant) -> None:
        begun = await begin(store, tenant, document("a.txt"))
        await put(store, tenant, begun, "mine")
        other = Tenant(tenant.account_id, "another-user")
        with pytest.raises(NotFound):
            await store.delete_document(other, begun.document.id, "")
        theirs = await begin(store, other, document("a.txt"))
        await store.finish_document(other, theirs, "")
        assert await texts(store, tenant) == ["mine"]
        page = paging.read(size=0, token="", query=())
        listed, _ = await store.list_documents(tenant, pb.ListDocumentsRequest(), page)
        assert [each.state for each in listed] == [pb.DOCUMENT_STATE_INCOMPLETE]
