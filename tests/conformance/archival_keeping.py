"""What every archival store promises of lists, archives and deletions."""

from __future__ import annotations

import pytest
from google.protobuf.json_format import ParseDict

from archival_service.store import ArchivalStore, Filters, Query
from archival_service.stores import listing
from embedders.wordllama import WordLlamaEmbedder
from servicekit import ids
from servicekit.principal import Tenant
from tests.conformance.archival_contract import BOAT, CAT, HYBRID, JOB, LEXICAL, SEMANTIC, find, page
from tests.support.archival import insert_request
from tests.support.keys import new_user
from triptych.archival.v1.archival_pb2 import (
    Archive,
    InsertPassagesRequest,
    ListArchivesRequest,
    ListPassagesRequest,
    Passage,
)
from triptych.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from triptych.type.v1 import type_pb2


async def all_pages(
    store: ArchivalStore, tenant: Tenant, size: int, order: type_pb2.SortOrder.ValueType
) -> list[list[str]]:
    pages, token = [], ""
    while True:
        found, token = await store.list_passages(tenant, ListPassagesRequest(), page(size, token, order))
        pages.append([passage.text for passage in found])
        if not token:
            return pages


class Keeping:
    async def test_a_missing_archive_is_made_only_if_asked_for(self, store: ArchivalStore, tenant: Tenant) -> None:
        request = insert_request(CAT, create="")
        with pytest.raises(NotFound):
            await store.insert(tenant, request)
        request.create_archive_name = "facts"
        await store.insert(tenant, request)
        assert (await store.get_archive(tenant, request.archive_id)).name == "facts"

    async def test_a_deleted_passage_is_gone_from_everything_at_once(
        self, store: ArchivalStore, tenant: Tenant
    ) -> None:
        cat, boat = await store.insert(tenant, insert_request(CAT, BOAT))
        with pytest.raises(NotFound):
            await store.delete_passage(tenant, cat.id, [ids.new("archive")], "")
        await store.delete_passage(tenant, cat.id, [cat.archive_id], "delete it")
        for mode in (HYBRID, LEXICAL, SEMANTIC):
            assert CAT not in await find(store, tenant, CAT, mode)
        assert [each.id for each in (await store.list_passages(tenant, ListPassagesRequest(), page()))[0]] == [boat.id]
        await store.delete_passage(tenant, cat.id, [cat.archive_id], "delete it")
        with pytest.raises(NotFound):
            await store.delete_passage(tenant, cat.id, [], "")
        with pytest.raises(FailedPrecondition):
            await store.delete_passage(tenant, boat.id, [], "delete it")

    async def test_a_deleted_archive_takes_its_passages_along(self, store: ArchivalStore, tenant: Tenant) -> None:
        gone, kept = insert_request(CAT), insert_request(BOAT)
        for request in (gone, kept):
            await store.insert(tenant, request)
        await store.delete_archive(tenant, gone.archive_id, "once")
        await store.delete_archive(tenant, gone.archive_id, "once")
        assert await find(store, tenant, f"{CAT} {BOAT}") == [BOAT]
        with pytest.raises(NotFound):
            await store.delete_archive(tenant, gone.archive_id, "")

    async def test_a_purge_deletes_what_is_there_of_what_it_names(self, store: ArchivalStore, tenant: Tenant) -> None:
        requests = [insert_request(CAT, JOB), insert_request(BOAT), insert_request("kept")]
        for request in requests:
            await store.insert(tenant, request)
        named = [requests[0].archive_id, requests[1].archive_id, ids.new("archive")]
        purged = await store.purge(tenant, named, "p")
        assert (purged.archives, purged.passages) == (2, 3)
        assert await find(store, tenant, f"{CAT} {JOB} {BOAT} kept") == ["kept"]
        assert await store.purge(tenant, named, "p") == purged
        assert (await store.purge(tenant, None, "")).passages == 1
        assert await store.count_passages(tenant, []) == 0

    async def test_a_passage_says_which_newer_one_makes_it_untrue(self, store: ArchivalStore, tenant: Tenant) -> None:
        old, other = await store.insert(tenant, insert_request(CAT, BOAT))
        stranger = new_user().tenant
        (theirs,) = await store.insert(stranger, insert_request(JOB))

        async def replaced_by(newer: InsertPassagesRequest) -> Passage:
            ParseDict({"replaces": [old.id, old.id, theirs.id, ids.new("passage"), 7]}, newer.passages[0].metadata)
            (made,) = await store.insert(tenant, newer)
            return made

        first = insert_request("The cat is called Mia.", archive_id=old.archive_id)
        newer = await replaced_by(first)
        assert await store.insert(tenant, first) == [newer]
        newest = await replaced_by(insert_request("There is no cat.", archive_id=old.archive_id))
        for by in (newest, newer, None):
            (hit,) = await store.search(tenant, Query("Minka kitchen", LEXICAL), Filters(), 1)
            listed, _ = await store.list_passages(tenant, ListPassagesRequest(), page())
            for shown in (hit.passage, listed[0], await store.get_passage(tenant, old.id)):
                assert shown.superseded_by == (by.id if by else "")
                assert shown.HasField("superseded_time") is (by is not None)
                assert by is None or shown.superseded_time == by.create_time
            if by is not None:
                await store.delete_passage(tenant, by.id, [], "")
        for owner, passage in ((tenant, other), (stranger, theirs)):
            assert not (await store.get_passage(owner, passage.id)).superseded_by

    async def test_pages_hold_everything_once_in_either_order(self, store: ArchivalStore, tenant: Tenant) -> None:
        await store.insert(tenant, insert_request("a", "b", "c"))
        await store.insert(tenant, insert_request("d", "e"))
        assert await all_pages(store, tenant, 2, type_pb2.SORT_ORDER_ASCENDING) == [["a", "b"], ["c", "d"], ["e"]]
        assert await all_pages(store, tenant, 3, type_pb2.SORT_ORDER_DESCENDING) == [["e", "d", "c"], ["b", "a"]]
        assert await all_pages(store, tenant, 5, type_pb2.SORT_ORDER_ASCENDING) == [["a", "b", "c", "d", "e"]]

    async def test_bounds_of_a_list_are_meant_in_its_order(self, store: ArchivalStore, tenant: Tenant) -> None:
        a, _, _, d = await store.insert(tenant, insert_request("a", "b", "c", "d"))
        for order, after, before in (
            (type_pb2.SORT_ORDER_ASCENDING, a.id, d.id),
            (type_pb2.SORT_ORDER_DESCENDING, d.id, a.id),
        ):
            request = ListPassagesRequest(after_id=after, before_id=before)
            found, _ = await store.list_passages(tenant, request, page(order=order))
            assert sorted(each.text for each in found) == ["b", "c"]
        unknown = ListPassagesRequest(after_id=ids.new("passage"))
        assert await store.list_passages(tenant, unknown, page()) == ([], "")

    async def test_a_large_answer_is_cut_into_pages_or_refused(
        self, store: ArchivalStore, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        texts = [f"boat {n} " + "x" * 1_000 for n in range(5)]
        await store.insert(tenant, insert_request(*texts))
        monkeypatch.setattr(listing, "MOST_BYTES", 2_500)
        pages = await all_pages(store, tenant, 50, type_pb2.SORT_ORDER_ASCENDING)
        assert [len(each) for each in pages] == [3, 2]
        assert [text for each in pages for text in each] == texts
        with pytest.raises(ResourceExhausted):
            await find(store, tenant, "boat")

    @pytest.mark.parametrize("wanted", ["CREME", "crème", "BRÛLÉE", "éclair", "%", "_"])
    async def test_contains_is_the_text_itself_whatever_its_case(
        self, store: ArchivalStore, tenant: Tenant, wanted: str
    ) -> None:
        texts = ["creme", "Crème Brûlée", "ÉCLAIR", "100 %", "snake_case"]
        await store.insert(tenant, insert_request(*texts))
        found, _ = await store.list_passages(tenant, ListPassagesRequest(contains=wanted), page())
        assert [each.text for each in found] == [text for text in texts if wanted.casefold() in text.casefold()]
        assert len(found) == 1

    @pytest.mark.parametrize("cursor", [(), ("x",), (1, 2), (None,), ({"a": 1},), (10**30,), (True,)])
    async def test_a_forged_page_token_is_refused(
        self, store: ArchivalStore, tenant: Tenant, cursor: tuple[object, ...]
    ) -> None:
        with pytest.raises(InvalidArgument) as caught:
            await store.list_passages(tenant, ListPassagesRequest(), page(token=page().token(cursor)))
        assert caught.value.reason == type_pb2.ERROR_REASON_PAGE_TOKEN_INVALID

    async def test_an_archive_is_made_once_and_says_whose_vectors_it_has(
        self, store: ArchivalStore, tenant: Tenant
    ) -> None:
        wanted = Archive(id=ids.new("archive"), name="facts", description="of the house")
        ParseDict({"colour": "blue"}, wanted.metadata)
        made = await store.create_archive(tenant, wanted, "r")
        assert await store.create_archive(tenant, wanted, "r") == made == await store.get_archive(tenant, wanted.id)
        assert (made.name, made.description, made.metadata) == (wanted.name, wanted.description, wanted.metadata)
        assert (made.embedding_model, made.dimensions) == (WordLlamaEmbedder.model, WordLlamaEmbedder.dimensions)
        with pytest.raises(AlreadyExists):
            await store.create_archive(tenant, wanted, "")
        with pytest.raises(FailedPrecondition):
            await store.create_archive(tenant, Archive(name="other"), "r")

    async def test_an_update_changes_what_it_names_and_only_once(self, store: ArchivalStore, tenant: Tenant) -> None:
        made = await store.create_archive(tenant, Archive(name="old", description="d"), "")
        changed = await store.update_archive(tenant, Archive(id=made.id, name="new"), ["name"], "u1")
        assert (changed.name, changed.description, changed.create_time) == ("new", "d", made.create_time)
        await store.update_archive(tenant, Archive(id=made.id, name="newer"), ["name"], "u2")
        replayed = await store.update_archive(tenant, Archive(id=made.id, name="new"), ["name"], "u1")
        assert replayed.name == "newer"
        with pytest.raises(NotFound):
            await store.update_archive(new_user().tenant, Archive(id=made.id, name="x"), ["name"], "")

    async def test_archives_are_listed_by_creation_and_name(self, store: ArchivalStore, tenant: Tenant) -> None:
        made = [await store.create_archive(tenant, Archive(name=name), "") for name in ("a", "b", "a")]
        first, token = await store.list_archives(tenant, ListArchivesRequest(), page(2))
        rest, end = await store.list_archives(tenant, ListArchivesRequest(), page(2, token))
        assert [*first, *rest] == made
        assert end == ""
        named, _ = await store.list_archives(tenant, ListArchivesRequest(name="a"), page())
        assert named == [made[0], made[2]]
        after, _ = await store.list_archives(tenant, ListArchivesRequest(after_id=made[0].id), page())
        assert after == made[1:]
