"""archival_service over real gRPC, as a process, called by signed principals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from servicekit import ids, paging
from servicekit.channel import Peer
from servicekit.principal import Principal
from tests.support.archival import Client, environment, insert_request
from tests.support.keys import new_user, signer
from tests.support.processes import running
from triptych.archival.v1 import archival_pb2 as pb
from triptych.archival.v1.archival_pb2_grpc import ArchivalServiceStub
from triptych.errors import FailedPrecondition, InvalidArgument, NotFound
from triptych.type.v1 import type_pb2
from triptych.type.v1.type_pb2 import Fence

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("archival")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with running("archival_service", environment(folder)) as service:
        yield service.grpc


@pytest.fixture
async def client(address: str, folder: Path) -> AsyncIterator[Client]:
    peer = Peer("archival_service", address, signer(folder))
    yield Client(peer, ArchivalServiceStub(peer.channel))
    await peer.close()


@pytest.fixture
def ann() -> Principal:
    return new_user()


async def test_a_fact_is_found_through_every_mode_and_filter(client: Client, ann: Principal) -> None:
    request = insert_request("Anna has a wooden boat.", "Peter is a plumber.", "Minka is a cat.")
    for position, tags in enumerate((["boat", "anna"], ["work"], ["pet", "anna"])):
        request.passages[position].tags.extend(tags)
        request.passages[position].create_time.FromSeconds(1_000 + position)
    stored = (await client.call("InsertPassages", request, ann)).passages
    assert [ids.valid("passage", each.id) for each in stored] == [True] * 3
    assert [each.text for each in stored] == [each.text for each in request.passages]
    for mode in type_pb2.SearchMode.values():
        assert await client.search(ann, "boat", mode=mode, limit=1) == ["Anna has a wooden boat."]
    words, either, both = "boat plumber cat", type_pb2.TAG_MATCH_ANY, type_pb2.TAG_MATCH_ALL
    assert len(await client.search(ann, words, tags=["boat", "work"])) == 2
    assert len(await client.search(ann, words, tags=["boat", "work"], tag_match=either)) == 2
    assert await client.search(ann, words, tags=["anna", "pet"], tag_match=both) == ["Minka is a cat."]
    second = Timestamp(seconds=1_001)
    assert await client.search(ann, words, start_time=second, end_time=second) == ["Peter is a plumber."]
    assert await client.search(ann, words, archive_ids=[ids.new("archive")]) == []
    assert await client.search(ann, "  ") == []


async def test_a_hit_carries_its_passage_and_the_parts_of_its_score(client: Client, ann: Principal) -> None:
    (boat,) = await client.insert(ann, "a wooden boat")
    (hit,) = (await client.call("SearchPassages", pb.SearchPassagesRequest(query="boat"), ann)).hits
    assert hit.passage == boat
    assert (hit.score, hit.dense, hit.sparse) == (1.0, 1.0, 1.0)


async def test_replays_do_nothing_twice(client: Client, ann: Principal) -> None:
    request = insert_request("a boat")
    first = await client.call("InsertPassages", request, ann)
    assert await client.call("InsertPassages", request, ann) == first
    request.passages[0].text = "another boat"
    with pytest.raises(FailedPrecondition) as caught:
        await client.call("InsertPassages", request, ann)
    assert caught.value.reason_name == "REQUEST_ID_REUSED"
    create = pb.CreateArchiveRequest(archive=pb.Archive(id=ids.new("archive"), name="n"), request_id="create")
    assert await client.call("CreateArchive", create, ann) == await client.call("CreateArchive", create, ann)
    delete = pb.DeletePassageRequest(passage_id=first.passages[0].id, request_id="delete")
    for _ in range(2):
        await client.call("DeletePassage", delete, ann)
    purge = pb.PurgeArchivesRequest(all=True, request_id="purge")
    assert [(await client.call("PurgeArchives", purge, ann)).purged_archives for _ in range(2)] == [2, 2]


async def test_parallel_replays_insert_once_and_answer_the_same(client: Client, ann: Principal) -> None:
    request = insert_request("a boat", "a train")
    answers = await asyncio.gather(*(client.call("InsertPassages", request, ann) for _ in range(8)))
    assert all(answer == answers[0] for answer in answers)
    assert (await client.call("CountPassages", pb.CountPassagesRequest(), ann)).count == 2


async def test_a_fence_shuts_out_the_older_owner(client: Client, ann: Principal) -> None:
    for token, refused in ((5, False), (4, True), (5, False), (0, False)):
        request = insert_request("a boat")
        request.fence.CopyFrom(Fence(scope="conv-1", token=token))
        if refused:
            with pytest.raises(FailedPrecondition) as caught:
                await client.call("InsertPassages", request, ann)
            assert caught.value.reason_name == "FENCED"
        else:
            await client.call("InsertPassages", request, ann)
    assert (await client.call("CountPassages", pb.CountPassagesRequest(), ann)).count == 3


async def test_anothers_and_missing_look_the_same_to_the_byte(client: Client, ann: Principal) -> None:
    bob = new_user()
    (passage,) = await client.insert(ann, "a boat")
    missing = pb.Passage(id=ids.new("passage"), archive_id=ids.new("archive"))

    async def asked(of: pb.Passage) -> list[tuple[object, ...]]:
        seen = []
        for method, request in (
            ("GetPassage", pb.GetPassageRequest(passage_id=of.id)),
            ("DeletePassage", pb.DeletePassageRequest(passage_id=of.id)),
            ("GetArchive", pb.GetArchiveRequest(archive_id=of.archive_id)),
            ("DeleteArchive", pb.DeleteArchiveRequest(archive_id=of.archive_id)),
            ("UpdateArchive", pb.UpdateArchiveRequest(archive=pb.Archive(id=of.archive_id, name="n"))),
            ("InsertPassages", insert_request("x", archive_id=of.archive_id, request_id="r", create="")),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await client.raw(method, request.SerializeToString(), client.peer.metadata(bob))
            error = caught.value
            status = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
            hidden = [str(error.details()), bytes(status)]
            for real, put in ((of.id, "passage"), (of.archive_id, "archive")):
                hidden = [hidden[0].replace(real, put), hidden[1].replace(real.encode(), put.encode())]
            assert error.code() is grpc.StatusCode.NOT_FOUND
            seen.append((method, *hidden))
        return seen

    assert await asked(passage) == await asked(missing)
    for request, method in (
        (pb.ListPassagesRequest(archive_ids=[passage.archive_id]), "ListPassages"),
        (pb.ListPassagesRequest(after_id=passage.id), "ListPassages"),
        (pb.CountPassagesRequest(archive_ids=[passage.archive_id]), "CountPassages"),
        (pb.SearchPassagesRequest(archive_ids=[passage.archive_id], query="boat"), "SearchPassages"),
        (pb.ListArchivesRequest(after_id=passage.archive_id), "ListArchives"),
        (pb.PurgeArchivesRequest(archive_ids=pb.ArchiveIds(ids=[passage.archive_id])), "PurgeArchives"),
    ):
        response = await client.call(method, request, bob)
        # What is the service's own is told to everybody.
        for field in ("embedding_model", "dimensions"):
            if field in response.DESCRIPTOR.fields_by_name:
                response.ClearField(field)
        assert response.ByteSize() == 0, method
    assert await client.search(ann, "boat") == ["a boat"]


async def test_a_passage_of_a_mebibyte_is_kept(client: Client, ann: Principal) -> None:
    text = "boat " * (MIB // 5) + "!"
    (stored,) = await client.insert(ann, text)
    assert (await client.call("GetPassage", pb.GetPassageRequest(passage_id=stored.id), ann)).passage.text == text
    assert len(await client.search(ann, "boat")) == 1


async def test_a_page_token_is_good_for_its_own_query_alone(client: Client, ann: Principal) -> None:
    await client.insert(ann, "a", "b", "c")
    first = await client.call("ListPassages", pb.ListPassagesRequest(page_size=2), ann)
    token = first.next_page_token
    rest = await client.call("ListPassages", pb.ListPassagesRequest(page_size=2, page_token=token), ann)
    assert [each.text for each in [*first.passages, *rest.passages]] == ["a", "b", "c"]
    assert rest.next_page_token == ""
    forged = paging.read(size=1, token="", query=("ListPassages", *ann.tenant, [], "", "", ""), default=50).token(
        ({"n": 1},)
    )
    for caller, request in (
        (ann, pb.ListPassagesRequest(page_token=token, contains="a")),
        (ann, pb.ListPassagesRequest(page_token=token, after_id=first.passages[0].id)),
        (ann, pb.ListPassagesRequest(page_token=token, order=type_pb2.SORT_ORDER_DESCENDING)),
        (ann, pb.ListPassagesRequest(page_token="nonsense")),  # noqa: S106
        (ann, pb.ListPassagesRequest(page_token=forged)),
        (new_user(), pb.ListPassagesRequest(page_token=token)),
    ):
        with pytest.raises(InvalidArgument) as caught:
            await client.call("ListPassages", request, caller)
        assert caught.value.reason_name == "PAGE_TOKEN_INVALID"


async def test_an_update_without_a_mask_changes_what_it_holds(client: Client, ann: Principal) -> None:
    create = pb.CreateArchiveRequest(archive=pb.Archive(name="old", description="kept"))
    made = (await client.call("CreateArchive", create, ann)).archive
    update = pb.UpdateArchiveRequest(archive=pb.Archive(id=made.id, name="new"))
    changed = (await client.call("UpdateArchive", update, ann)).archive
    assert (changed.name, changed.description) == ("new", "kept")


async def test_what_is_deleted_is_gone_at_once(client: Client, ann: Principal) -> None:
    red, _ = await client.insert(ann, "a red boat", "a blue boat")
    await client.call("DeletePassage", pb.DeletePassageRequest(passage_id=red.id), ann)
    assert await client.search(ann, "boat") == ["a blue boat"]
    with pytest.raises(NotFound):
        await client.call("GetPassage", pb.GetPassageRequest(passage_id=red.id), ann)
    await client.call("DeleteArchive", pb.DeleteArchiveRequest(archive_id=red.archive_id), ann)
    assert await client.search(ann, "boat") == []
