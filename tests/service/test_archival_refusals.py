"""What archival_service refuses, over real gRPC: hostile bytes, callers, fields; and settings."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from servicekit.channel import Peer
from servicekit.principal import METADATA_KEY, Principal
from tests.support.archival import SERVICE, Client, environment, insert_request
from tests.support.keys import new_user, signer
from tests.support.processes import run, running
from triptych.archival.v1 import archival_pb2 as pb
from triptych.archival.v1.archival_pb2_grpc import ArchivalServiceStub
from triptych.errors import InvalidArgument, Unauthenticated
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
    ("InsertPassages", altered(lambda r: r.passages[0].tags.extend(["t"] * 1_000_000)), "passages[0].tags"),
    ("InsertPassages", altered(lambda r: r.passages[0].tags.append("t" * 201)), "passages[0].tags"),
    ("InsertPassages", altered(lambda r: r.vectors.add(values=[1.0] * 7)), "vectors[0]"),
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
    ("SearchPassages", pb.SearchPassagesRequest(query="x", limit=2**31 - 1), "limit"),
    ("SearchPassages", pb.SearchPassagesRequest(query_vector={"values": [1.0] * 7}), "query_vector[0]"),
    ("SearchPassages", pb.SearchPassagesRequest(query="x", tags=["t"] * 1_000_000), "tags"),
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


def test_a_damaged_store_says_how_to_restore(tmp_path: Path) -> None:
    (tmp_path / "archival.db").write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 40)
    done = run("archival_service", environ=environment(tmp_path))
    assert done.returncode == 2
    assert "put back a copy of it" in done.stderr
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
