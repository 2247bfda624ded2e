"""archival_service over real gRPC, as a process, called by signed principals."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from servicekit import ids, paging
from servicekit.channel import Peer
from servicekit.principal import METADATA_KEY, Principal
from tests.support.archival import environment, insert_request
from tests.support.keys import new_user, signer
from tests.support.processes import run, running
from triptych.archival.v1 import archival_pb2 as pb
from triptych.archival.v1.archival_pb2_grpc import ArchivalServiceStub
from triptych.errors import FailedPrecondition, InvalidArgument, NotFound, Unauthenticated
from triptych.type.v1 import type_pb2
from triptych.type.v1.type_pb2 import Fence

SERVICE = pb.DESCRIPTOR.services_by_name["ArchivalService"]
MIB = 1024 * 1024


@dataclass
class Client:
    """Calls the service as any user."""

    peer: Peer
    stub: ArchivalServiceStub

    async def call(self, method: str, request: Any, caller: Principal) -> Any:
        return await self.peer.unary(getattr(self.stub, method), request, caller=caller)

    async def raw(self, method: str, request: bytes, metadata: Any) -> bytes:
        """Bytes as they are, without a deadline of the client's or a retry."""
        call = self.peer.channel.unary_unary(f"/{SERVICE.full_name}/{method}")
        answer: bytes = await call(request, metadata=metadata)
        return answer

    async def insert(self, caller: Principal, *texts: str) -> list[pb.Passage]:
        return list((await self.call("InsertPassages", insert_request(*texts), caller)).passages)

    async def search(self, caller: Principal, query: str, **more: Any) -> list[str]:
        request = pb.SearchPassagesRequest(query=query, **more)
        return [hit.passage.text for hit in (await self.call("SearchPassages", request, caller)).hits]


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
        assert (await client.call(method, request, bob)).ByteSize() == 0
    assert await client.search(ann, "boat") == ["a boat"]


@pytest.mark.parametrize("method", [method.name for method in SERVICE.methods])
async def test_hostile_bytes_are_refused_and_end_nothing(client: Client, ann: Principal, method: str) -> None:
    noise = random.Random(method)
    metadata = client.peer.metadata(ann)
    for raw in (
        b"\xff" * 20,
        b"\x0a\xff\xff\xff\xff\x0f",
        b"\x0a\x02\xff\xfe",
        *(noise.randbytes(60) for _ in range(20)),
    ):
        try:
            await client.raw(method, raw, metadata)
        except grpc.aio.AioRpcError as error:
            assert error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND), error.details()  # noqa: PT017
    assert (await client.call("CountPassages", pb.CountPassagesRequest(), ann)).count == 0


@pytest.mark.parametrize("method", [method.name for method in SERVICE.methods])
async def test_a_caller_that_nobody_vouches_for_is_refused(
    client: Client, ann: Principal, folder: Path, tmp_path: Path, method: str
) -> None:
    for metadata in (
        (),
        ((METADATA_KEY, "nonsense"),),
        ((METADATA_KEY, signer(folder).token(ann, "recall_service")),),
        ((METADATA_KEY, signer(tmp_path).token(ann, "archival_service")),),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.raw(method, b"", metadata)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_agent_service_may_call_too(address: str, folder: Path, ann: Principal) -> None:
    peer = Peer("archival_service", address, signer(folder, "agent_service"))
    stub = ArchivalServiceStub(peer.channel)
    assert (await peer.unary(stub.CountPassages, pb.CountPassagesRequest(), caller=ann)).count == 0
    await peer.close()
    stranger = Peer("archival_service", address, signer(folder, "someone"))
    with pytest.raises(Unauthenticated):
        await stranger.unary(ArchivalServiceStub(stranger.channel).CountPassages, pb.CountPassagesRequest(), caller=ann)
    await stranger.close()


def altered(change: Callable[[pb.InsertPassagesRequest], object]) -> pb.InsertPassagesRequest:
    request = insert_request("a boat")
    change(request)
    return request


def with_metadata(value: float | str) -> pb.InsertPassagesRequest:
    request = insert_request("a boat")
    request.passages[0].metadata.update({"key": value})
    return request


LATE = Timestamp(seconds=2**62)
BAD: list[tuple[str, Any, str]] = [
    ("InsertPassages", altered(lambda r: r.ClearField("archive_id")), "archive_id"),
    ("InsertPassages", altered(lambda r: setattr(r, "archive_id", "archive-1")), "archive_id"),
    ("InsertPassages", altered(lambda r: r.ClearField("request_id")), "request_id"),
    ("InsertPassages", altered(lambda r: setattr(r, "request_id", "r" * 201)), "request_id"),
    ("InsertPassages", altered(lambda r: r.ClearField("passages")), "passages"),
    ("InsertPassages", altered(lambda r: r.passages.extend([pb.Passage(text="x")] * 1_000)), "passages"),
    ("InsertPassages", altered(lambda r: setattr(r.passages[0], "text", " \n")), "passages[0].text"),
    ("InsertPassages", altered(lambda r: setattr(r.passages[0], "text", "a\0b")), "passages[0].text"),
    ("InsertPassages", altered(lambda r: setattr(r.passages[0], "text", "é" * (MIB // 2) + "x")), "passages[0].text"),
    ("InsertPassages", altered(lambda r: setattr(r.passages[0], "id", "7")), "passages[0].id"),
    ("InsertPassages", altered(lambda r: r.passages[0].tags.extend(["t"] * 65)), "passages[0].tags"),
    ("InsertPassages", altered(lambda r: r.passages[0].tags.append("t" * 201)), "passages[0].tags"),
    ("InsertPassages", altered(lambda r: r.passages[0].tags.append("")), "passages[0].tags"),
    ("InsertPassages", altered(lambda r: r.passages[0].create_time.CopyFrom(LATE)), "passages[0].create_time"),
    ("InsertPassages", altered(lambda r: r.fence.CopyFrom(Fence(scope="s", token=-1))), "fence.token"),
    ("InsertPassages", altered(lambda r: r.fence.CopyFrom(Fence(token=1))), "fence.scope"),
    ("InsertPassages", with_metadata(float("nan")), "passages[0].metadata"),
    ("InsertPassages", with_metadata(float("inf")), "passages[0].metadata"),
    ("InsertPassages", with_metadata("x" * 17_000), "passages[0].metadata"),
    ("InsertPassages", with_metadata("a\0b"), "passages[0].metadata"),
    ("CreateArchive", pb.CreateArchiveRequest(archive=pb.Archive(id="7")), "archive.id"),
    ("CreateArchive", pb.CreateArchiveRequest(archive=pb.Archive(name="n" * 501)), "archive.name"),
    ("CreateArchive", pb.CreateArchiveRequest(archive=pb.Archive(description="d" * 10_001)), "archive.description"),
    ("UpdateArchive", pb.UpdateArchiveRequest(update_mask={"paths": ["create_time"]}), "update_mask"),
    ("UpdateArchive", pb.UpdateArchiveRequest(update_mask={"paths": ["name"]}), "archive.name"),
    ("ListArchives", pb.ListArchivesRequest(page_size=-1), "page_size"),
    ("ListArchives", pb.ListArchivesRequest(order=7), "order"),  # type: ignore[arg-type]
    ("ListPassages", pb.ListPassagesRequest(contains="x" * 1_001), "contains"),
    ("ListPassages", pb.ListPassagesRequest(archive_ids=["a"] * 101), "archive_ids"),
    ("CountPassages", pb.CountPassagesRequest(archive_ids=["a"] * 101), "archive_ids"),
    ("DeletePassage", pb.DeletePassageRequest(archive_ids=["a"] * 101), "archive_ids"),
    ("SearchPassages", pb.SearchPassagesRequest(query="x" * 10_001), "query"),
    ("SearchPassages", pb.SearchPassagesRequest(query="x", limit=101), "limit"),
    ("SearchPassages", pb.SearchPassagesRequest(query="x", limit=-1), "limit"),
    ("SearchPassages", pb.SearchPassagesRequest(query="x", mode=9), "mode"),  # type: ignore[arg-type]
    ("SearchPassages", pb.SearchPassagesRequest(query="x", tag_match=9), "tag_match"),  # type: ignore[arg-type]
    ("SearchPassages", pb.SearchPassagesRequest(query="x", tags=[""]), "tags"),
    ("SearchPassages", pb.SearchPassagesRequest(query="x", end_time=Timestamp(nanos=-1)), "end_time"),
    (
        "SearchPassages",
        pb.SearchPassagesRequest(query="x", start_time=Timestamp(seconds=2), end_time=Timestamp(seconds=1)),
        "start_time",
    ),
    ("PurgeArchives", pb.PurgeArchivesRequest(), "scope"),
    ("PurgeArchives", pb.PurgeArchivesRequest(all=False), "scope"),
]


@pytest.mark.parametrize(("method", "request_", "field"), BAD, ids=[f"{each[0]}-{each[2]}" for each in BAD])
async def test_a_field_that_cannot_be_accepted_is_named(
    client: Client, ann: Principal, method: str, request_: Any, field: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await client.call(method, request_, ann)
    assert caught.value.metadata["field"] == field
    assert (await client.call("CountPassages", pb.CountPassagesRequest(), ann)).count == 0


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


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"TRIPTYCH_ARCHIVAL_INDX": "x"}, "Did you mean TRIPTYCH_ARCHIVAL_INDEX"),
        ({"TRIPTYCH_GATEWAY_VERIFY_KEY_FILE": ""}, "TRIPTYCH_GATEWAY_VERIFY_KEY_FILE is not set"),
        ({"TRIPTYCH_ARCHIVAL_DSN": "mysql://x/y"}, "no backend for mysql"),
        ({"TRIPTYCH_ARCHIVAL_INDEX": "/proc/none/index"}, "can't be built"),
        ({"TRIPTYCH_EMBEDDER": "magic"}, "bundled or openai"),
    ],
)
def test_a_bad_setting_ends_it_with_one_clear_line(tmp_path: Path, changed: dict[str, str], says: str) -> None:
    done = run("archival_service", environ={**environment(tmp_path), **changed})
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_where_the_index_should_be_is_named_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "letter.txt"
    file.write_text("dear Anna")
    done = run("archival_service", environ=environment(tmp_path, TRIPTYCH_ARCHIVAL_INDEX=str(file)))
    assert done.returncode == 2
    assert f"the index in {file} can't be built" in done.stderr
    assert file.read_text() == "dear Anna"


def test_help_and_migrate_need_nothing_else(tmp_path: Path) -> None:
    assert "reembed" in run("archival_service", "--help", environ={}).stdout
    done = run("archival_service", "migrate", environ={"TRIPTYCH_ARCHIVAL_DSN": f"sqlite:///{tmp_path}/a.db"})
    assert (done.returncode, done.stdout) == (0, "")
    assert (tmp_path / "a.db").is_file()
