"""SIGKILL, lost and damaged indexes, other embedders, second owners: nothing that was acknowledged is lost."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from archival_service import opening
from archival_service.store import Filters, Query
from embedders.wordllama import WordLlamaEmbedder
from servicekit.channel import Peer
from servicekit.principal import Tenant
from tests.support.archival import environment, insert_request, opened
from tests.support.keys import new_user, signer
from tests.support.processes import run, running
from triptych.archival.v1 import archival_pb2 as pb
from triptych.archival.v1.archival_pb2_grpc import ArchivalServiceStub
from triptych.errors import Unavailable
from triptych.type.v1 import type_pb2

BOATS = ["a red boat", "a blue boat", "a green boat"]


async def found(folder: Path, tenant: Tenant, query: str = "boat") -> set[str]:
    """What a store opened anew finds by words, and the same by meaning; at once, and when its index is built."""
    sides: list[set[str]] = []
    async with opened(folder, WordLlamaEmbedder()) as archival:
        for _ in range(2):
            for mode in (type_pb2.SEARCH_MODE_LEXICAL, type_pb2.SEARCH_MODE_SEMANTIC):
                hits = await archival.store.search(tenant, Query(query, mode), Filters(), 100)
                sides.append({hit.passage.text for hit in hits})
            await archival.index.built()
        assert await archival.index.count() == await archival.store.count_passages(tenant, [])
    assert sides == sides[:1] * 4
    return sides[0]


async def insert(folder: Path, tenant: Tenant, *texts: str) -> None:
    async with opened(folder, WordLlamaEmbedder()) as archival:
        await archival.store.insert(tenant, insert_request(*texts))


async def test_what_was_acknowledged_outlives_a_kill(tmp_path: Path) -> None:
    gateway, ann = signer(tmp_path), new_user()
    requests = [insert_request(f"boat number {number}") for number in range(30)]
    environ = environment(tmp_path)
    with running("archival_service", environ) as service:
        peer = Peer("archival_service", service.grpc, gateway)
        stub = ArchivalServiceStub(peer.channel)
        before = await asyncio.gather(*(peer.unary(stub.InsertPassages, each, caller=ann) for each in requests))
        service.kill()
        await peer.close()
    with running("archival_service", environ) as service:
        peer = Peer("archival_service", service.grpc, gateway)
        stub = ArchivalServiceStub(peer.channel)
        for mode in (type_pb2.SEARCH_MODE_LEXICAL, type_pb2.SEARCH_MODE_SEMANTIC):
            search = pb.SearchPassagesRequest(query="boat number", mode=mode, limit=100)
            assert len((await peer.unary(stub.SearchPassages, search, caller=ann)).hits) == 30
        assert [await peer.unary(stub.InsertPassages, each, caller=ann) for each in requests] == before
        assert (await peer.unary(stub.CountPassages, pb.CountPassagesRequest(), caller=ann)).count == 30
        await peer.close()


async def test_an_insert_that_died_between_store_and_index_is_healed_at_the_start(tmp_path: Path) -> None:
    tenant = new_user().tenant
    async with opened(tmp_path, WordLlamaEmbedder(), settle_seconds=3600) as archival:
        archival.index.failing = True
        with pytest.raises(Unavailable):
            await archival.store.insert(tenant, insert_request(*BOATS))
        assert await archival.index.count() == 0
    assert await found(tmp_path, tenant) == set(BOATS)


@pytest.mark.parametrize("inserted", [[], ["a white boat"]], ids=["alone", "equal"])
async def test_a_delete_that_died_between_store_and_index_is_healed_at_the_start(
    tmp_path: Path, inserted: list[str]
) -> None:
    tenant = new_user().tenant
    async with opened(tmp_path, WordLlamaEmbedder(), settle_seconds=3600) as archival:
        red, *_ = await archival.store.insert(tenant, insert_request(*BOATS))
        archival.index.failing = True
        with pytest.raises(Unavailable):
            await archival.store.delete_passage(tenant, red.id, [], "")
        if inserted:  # the index has as many as the store, and others
            with pytest.raises(Unavailable):
                await archival.store.insert(tenant, insert_request(*inserted))
    assert await found(tmp_path, tenant) == {*BOATS[1:], *inserted}


async def test_a_deleted_index_is_built_anew(tmp_path: Path) -> None:
    tenant = new_user().tenant
    await insert(tmp_path, tenant, *BOATS)
    shutil.rmtree(tmp_path / "index")
    assert await found(tmp_path, tenant) == set(BOATS)


async def test_a_damaged_index_is_built_anew(tmp_path: Path) -> None:
    tenant = new_user().tenant
    await insert(tmp_path, tenant, *BOATS)
    for file in (tmp_path / "index").glob("common-*/*/segments/**/*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert await found(tmp_path, tenant) == set(BOATS)


async def test_an_index_that_is_ahead_of_a_restored_store_is_built_anew(tmp_path: Path) -> None:
    tenant = new_user().tenant
    await insert(tmp_path, tenant, *BOATS)
    backup = (tmp_path / "archival.db").read_bytes()
    await insert(tmp_path, tenant, "a boat of after the backup")
    (tmp_path / "archival.db").write_bytes(backup)
    assert await found(tmp_path, tenant) == set(BOATS)


async def test_another_stores_index_is_not_taken_for_ones_own(tmp_path: Path) -> None:
    one, other, tenant = tmp_path / "one", tmp_path / "other", new_user().tenant
    await insert(one, tenant, *BOATS)
    await insert(other, tenant, "a train", "a tram", "a bus")
    shutil.rmtree(one / "index")
    shutil.copytree(other / "index", one / "index")
    assert await found(one, tenant) == set(BOATS)


async def test_what_else_is_in_the_indexs_directory_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    letter = tmp_path / "index" / "letter.txt"
    letter.write_text("dear Anna")
    await insert(tmp_path, new_user().tenant, *BOATS)
    assert letter.read_text() == "dear Anna"


async def test_a_second_process_on_the_same_store_or_index_is_refused(tmp_path: Path) -> None:
    environ = environment(tmp_path)
    with running("archival_service", environ):
        for changed, named in (({}, "archival.db"), ({"TRIPTYCH_ARCHIVAL_DSN": f"sqlite:///{tmp_path}/b.db"}, "index")):
            done = run("archival_service", environ={**environ, **changed})
            assert done.returncode == 2
            assert f"{named} is in use by another process" in done.stderr
            assert "Traceback" not in done.stderr


async def test_the_outbox_is_empty_after_a_clean_stop(tmp_path: Path) -> None:
    await insert(tmp_path, new_user().tenant, *BOATS)
    sql = opening.open_sql(f"sqlite:///{tmp_path / 'archival.db'}")
    assert await sql.read(lambda c: c.exec_driver_sql("SELECT count(*) FROM outbox").scalar()) == 0
    await sql.close()
