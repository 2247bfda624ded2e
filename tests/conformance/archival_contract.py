"""What every archival store promises of inserting and finding."""

from __future__ import annotations

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.timestamp_pb2 import Timestamp

from archival_service.store import ArchivalStore, Filters, Query
from servicekit import ids, paging
from servicekit.principal import Tenant
from tests.support.archival import insert_request
from tests.support.keys import new_user
from triptych.archival.v1.archival_pb2 import (
    InsertPassagesRequest,
    ListArchivesRequest,
    ListPassagesRequest,
    Passage,
    PassageHit,
    Vector,
)
from triptych.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from triptych.type.v1 import type_pb2
from triptych.type.v1.type_pb2 import Fence

HYBRID, LEXICAL, SEMANTIC = (
    type_pb2.SEARCH_MODE_HYBRID,
    type_pb2.SEARCH_MODE_LEXICAL,
    type_pb2.SEARCH_MODE_SEMANTIC,
)
BOAT = "Anna bought a small wooden boat in Bergen."
CAT = "The cat is called Minka and sleeps in the kitchen."
JOB = "Peter works as a plumber for the railway."


def page(
    size: int = 50, token: str = "", order: type_pb2.SortOrder.ValueType = type_pb2.SORT_ORDER_ASCENDING
) -> paging.Page:
    return paging.read(size=size, token=token, query=("test",), order=order)


async def find(
    store: ArchivalStore,
    tenant: Tenant,
    query: str,
    mode: type_pb2.SearchMode.ValueType = HYBRID,
    filters: Filters = Filters(),  # noqa: B008 - frozen
    limit: int = 10,
) -> list[str]:
    return [hit.passage.text for hit in await store.search(tenant, Query(query, mode), filters, limit)]


class InsertingAndFinding:
    @pytest.mark.parametrize("mode", [HYBRID, LEXICAL, SEMANTIC])
    async def test_what_was_inserted_is_found_at_once(self, store: ArchivalStore, tenant: Tenant, mode: int) -> None:
        await store.insert(tenant, insert_request(CAT, BOAT, JOB))
        (best,) = await find(store, tenant, "wooden boat", mode, limit=1)
        assert best == BOAT

    @pytest.mark.parametrize(
        "query", ['"boat" AND (', "boat* OR NOT", "boat:^-~", "'; DROP TABLE passages; --", "🛶 boat"]
    )
    async def test_operators_and_quotes_in_a_query_are_words(
        self, store: ArchivalStore, tenant: Tenant, query: str
    ) -> None:
        await store.insert(tenant, insert_request(CAT, "the boat", JOB))
        for mode in (HYBRID, LEXICAL, SEMANTIC):
            assert len(await find(store, tenant, query, mode)) <= 3
        assert await find(store, tenant, "boat", LEXICAL) == ["the boat"]

    async def test_meaning_finds_without_a_common_word(self, store: ArchivalStore, tenant: Tenant) -> None:
        await store.insert(tenant, insert_request(CAT, BOAT, JOB))
        assert (await find(store, tenant, "ships and sailing", SEMANTIC))[0] == BOAT
        assert await find(store, tenant, "ships and sailing", LEXICAL) == []

    async def test_a_hybrid_hit_shows_the_parts_of_its_score(self, store: ArchivalStore, tenant: Tenant) -> None:
        await store.insert(tenant, insert_request(CAT, BOAT, JOB))
        hits = await store.search(tenant, Query("Minka the cat", HYBRID), Filters(), 10)
        assert hits[0].passage.text == CAT
        assert (hits[0].score, hits[0].dense, hits[0].sparse) == (1.0, 1.0, 1.0)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        assert all(hit.sparse == 0 for hit in hits[1:])

    async def test_vectors_of_the_callers_are_kept_and_found(self, store: ArchivalStore, tenant: Tenant) -> None:
        def pointing(*at: int) -> Vector:
            return Vector(values=[5.0 if i in at else 0.0 for i in range(256)])

        request = insert_request("one", "two")
        request.vectors.extend([pointing(1), pointing(2)])
        stored = await store.insert(tenant, request)
        assert await store.insert(tenant, request) == stored
        hits = await store.search(tenant, Query("", SEMANTIC, pointing(2)), Filters(), 10)
        assert [hit.passage.text for hit in hits] == ["two"]
        hits = await store.search(tenant, Query("one", HYBRID, pointing(2)), Filters(), 10)
        assert {hit.passage.text for hit in hits} == {"one", "two"}
        request.vectors[0].values[0] = 1
        with pytest.raises(FailedPrecondition):
            await store.insert(tenant, request)

    @pytest.mark.parametrize("wrong", [[1.0] * 255, [0.0] * 256, [float("nan")] * 256, [float("inf")] * 256])
    async def test_a_vector_that_means_nothing_is_refused(
        self, store: ArchivalStore, tenant: Tenant, wrong: list[float]
    ) -> None:
        request = insert_request("one")
        request.vectors.add(values=wrong)
        with pytest.raises(InvalidArgument, match="vectors"):
            await store.insert(tenant, request)
        with pytest.raises(InvalidArgument, match="query_vector"):
            await store.search(tenant, Query("", SEMANTIC, Vector(values=wrong)), Filters(), 10)
        assert await store.count_passages(tenant, []) == 0

    async def test_rarity_of_words_is_the_owners_own(self, store: ArchivalStore) -> None:
        mine, other = new_user().tenant, new_user().tenant
        await store.insert(mine, insert_request("red apple", "green apple", "red pear"))

        async def scores() -> list[tuple[str, float]]:
            hits: list[PassageHit] = await store.search(mine, Query("green apple", LEXICAL), Filters(), 10)
            return [(hit.passage.text, hit.score) for hit in hits]

        before = await scores()
        await store.insert(other, insert_request(*(f"green stone {n}" for n in range(50))))
        assert await scores() == before

    async def test_a_replayed_insert_writes_once_and_answers_the_same(
        self, store: ArchivalStore, tenant: Tenant
    ) -> None:
        request = insert_request(CAT, BOAT)
        first = await store.insert(tenant, request)
        assert await store.insert(tenant, request) == first
        assert [passage.text for passage in first] == [CAT, BOAT]
        assert await store.count_passages(tenant, []) == 2

    async def test_an_altered_replay_is_refused_and_changes_nothing(self, store: ArchivalStore, tenant: Tenant) -> None:
        request = insert_request(CAT)
        await store.insert(tenant, request)
        request.passages[0].tags.append("pet")
        with pytest.raises(FailedPrecondition) as caught:
            await store.insert(tenant, request)
        assert caught.value.reason == type_pb2.ERROR_REASON_REQUEST_ID_REUSED
        assert await store.count_passages(tenant, []) == 1

    async def test_a_request_id_belongs_to_its_archive(self, store: ArchivalStore, tenant: Tenant) -> None:
        for text in (CAT, BOAT):
            await store.insert(tenant, insert_request(text, request_id="the same"))
        assert await store.count_passages(tenant, []) == 2

    async def test_a_passage_is_kept_as_it_was_given(self, store: ArchivalStore, tenant: Tenant) -> None:
        given = Passage(id=ids.new("passage"), text=CAT, tags=["pet", "home"])
        ParseDict({"source": {"page": 3}, "sure": True}, given.metadata)
        given.create_time.FromMicroseconds(1_234_567_890_123_456)
        request = insert_request()
        request.passages.append(given)
        await store.insert(tenant, request)
        given.archive_id = request.archive_id
        assert await store.get_passage(tenant, given.id) == given

    async def test_a_taken_passage_id_is_refused_and_nothing_of_the_batch_stored(
        self, store: ArchivalStore, tenant: Tenant
    ) -> None:
        (kept,) = await store.insert(tenant, insert_request(CAT))
        request = insert_request(BOAT, JOB)
        request.passages[1].id = kept.id
        with pytest.raises(AlreadyExists, match=kept.id):
            await store.insert(tenant, request)
        assert await store.count_passages(tenant, []) == 1
        with pytest.raises(NotFound):
            await store.get_archive(tenant, request.archive_id)

    async def test_an_older_owner_of_the_lease_is_refused(self, store: ArchivalStore, tenant: Tenant) -> None:
        request = insert_request(CAT)
        request.fence.CopyFrom(Fence(scope="conversation", token=7))
        await store.insert(tenant, request)
        late = insert_request(BOAT)
        late.fence.CopyFrom(Fence(scope="conversation", token=6))
        with pytest.raises(FailedPrecondition) as caught:
            await store.insert(tenant, late)
        assert caught.value.reason == type_pb2.ERROR_REASON_FENCED
        for allowed in (Fence(scope="conversation", token=7), Fence(scope="other", token=1), Fence()):
            request = insert_request(JOB)
            request.fence.CopyFrom(allowed)
            await store.insert(tenant, request)
        assert sorted(await find(store, tenant, "cat plumber boat", LEXICAL)) == sorted([CAT, JOB, JOB, JOB])

    async def test_a_replay_by_the_new_owner_shuts_out_the_old_one(self, store: ArchivalStore, tenant: Tenant) -> None:
        request = insert_request(CAT)
        request.fence.CopyFrom(Fence(scope="conversation", token=1))
        await store.insert(tenant, request)
        request.fence.token = 2
        await store.insert(tenant, request)
        late = insert_request(BOAT)
        late.fence.CopyFrom(Fence(scope="conversation", token=1))
        with pytest.raises(FailedPrecondition):
            await store.insert(tenant, late)

    async def test_users_with_the_same_ids_never_meet(self, store: ArchivalStore) -> None:
        account = new_user().tenant.account_id
        one, two, elsewhere = Tenant(account, "one"), Tenant(account, "two"), Tenant(account + "/one", "")
        archive_id, passage_id = ids.new("archive"), ids.new("passage")
        for tenant, text in ((one, CAT), (two, BOAT)):
            request = insert_request(text, archive_id=archive_id, request_id="r")
            request.passages[0].id = passage_id
            await store.insert(tenant, request)
        for tenant, text in ((one, [CAT]), (two, [BOAT]), (elsewhere, [])):
            for filters in (Filters(), Filters(archive_ids=(archive_id,))):
                for mode in (HYBRID, LEXICAL, SEMANTIC):
                    assert await find(store, tenant, f"{CAT} {BOAT}", mode, filters) == text
            assert [each.text for each in (await store.list_passages(tenant, ListPassagesRequest(), page()))[0]] == text
            assert await store.count_passages(tenant, [archive_id]) == len(text)
            assert len((await store.list_archives(tenant, ListArchivesRequest(), page()))[0]) == len(text)
        await store.purge(one, None, "")
        assert (await store.get_passage(two, passage_id)).text == BOAT
        assert await find(store, two, "boat") == [BOAT]

    @pytest.mark.parametrize(
        ("tags", "match_all", "expected"),
        [
            (["pet"], False, {CAT}),
            (["pet", "work"], False, {CAT, JOB}),
            (["pet", "home"], True, {CAT}),
            (["pet", "work"], True, set()),
            (["Pet"], False, set()),
            ([], True, {CAT, JOB, BOAT}),
        ],
    )
    async def test_tags_narrow_to_any_or_all(
        self, store: ArchivalStore, tenant: Tenant, tags: list[str], match_all: bool, expected: set[str]
    ) -> None:
        request = insert_request(CAT, JOB, BOAT)
        request.passages[0].tags.extend(["pet", "home"])
        request.passages[1].tags.append("work")
        await store.insert(tenant, request)
        filters = Filters(tags=tuple(tags), all_tags=match_all)
        for mode, query in ((LEXICAL, "cat plumber boat"), (SEMANTIC, CAT + JOB + BOAT)):
            assert set(await find(store, tenant, query, mode, filters)) == expected

    async def test_both_ends_of_a_time_range_belong_to_it(self, store: ArchivalStore, tenant: Tenant) -> None:
        request = insert_request("boat 0", "boat 1", "boat 2", "boat 3")
        for position, passage in enumerate(request.passages):
            passage.create_time.FromMicroseconds(1_700_000_000_000_000 + position)
        await store.insert(tenant, request)
        filters = Filters(start=1_700_000_000_000_001, end=1_700_000_000_000_002)
        for mode in (LEXICAL, SEMANTIC):
            assert set(await find(store, tenant, "boat", mode, filters)) == {"boat 1", "boat 2"}
        assert set(await find(store, tenant, "boat", LEXICAL, Filters(start=1_700_000_000_000_003))) == {"boat 3"}
        assert set(await find(store, tenant, "boat", LEXICAL, Filters(end=1_700_000_000_000_000))) == {"boat 0"}

    async def test_archives_narrow_every_reading(self, store: ArchivalStore, tenant: Tenant) -> None:
        first, second = insert_request("boat one"), insert_request("boat two", "boat three")
        for request in (first, second, insert_request("boat four")):
            await store.insert(tenant, request)
        both = (first.archive_id, second.archive_id)
        assert set(await find(store, tenant, "boat", HYBRID, Filters(archive_ids=both))) == {
            "boat one",
            "boat two",
            "boat three",
        }
        assert await find(store, tenant, "boat", HYBRID, Filters(archive_ids=both[:1])) == ["boat one"]
        assert await store.count_passages(tenant, both) == 3
        found, _ = await store.list_passages(tenant, ListPassagesRequest(archive_ids=both[1:]), page())
        assert [each.text for each in found] == ["boat two", "boat three"]

    async def test_a_thousand_passages_go_in_one_batch(self, store: ArchivalStore, tenant: Tenant) -> None:
        request = InsertPassagesRequest(
            archive_id=ids.new("archive"),
            request_id="r",
            create_archive_name="n",
            passages=[Passage(text=f"fact number {n}", create_time=Timestamp(seconds=n)) for n in range(1_000)],
        )
        stored = await store.insert(tenant, request)
        assert [each.create_time.seconds for each in stored] == list(range(1_000))
        assert await store.count_passages(tenant, []) == 1_000
        assert (await find(store, tenant, "fact number 777", LEXICAL, limit=1)) == ["fact number 777"]
