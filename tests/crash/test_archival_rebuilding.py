"""An index that is lost is built anew while the service serves: searched and written all the while, killed or not."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import insert

from archival_service import opening
from archival_service.store import Entry, Filters, Query
from archival_service.stores.edge import EdgeIndex
from archival_service.stores.rows import owner
from archival_service.stores.tables import passages
from embedders.wordllama import WordLlamaEmbedder
from servicekit.channel import Peer
from servicekit.principal import Tenant
from tests.support.archival import Client, Opened, environment, index_left, insert_request, opened
from tests.support.keys import new_user, signer
from tests.support.processes import running
from triptych.archival.v1.archival_pb2_grpc import ArchivalServiceStub
from triptych.type.v1 import type_pb2

_PATIENCE_SECONDS = 60
BOATS = ["a red boat", "a blue boat", "a green boat"]
_MANY = 16_000


class Gate:
    """Holds up what an index is told of first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()
        put, gate = EdgeIndex.put, self

        async def gated(index: EdgeIndex, entries: Sequence[Entry]) -> None:
            if not gate.reached.is_set():
                gate.reached.set()
                await gate.open.wait()
            await put(index, entries)

        monkeypatch.setattr(EdgeIndex, "put", gated)


async def found(archival: Opened, tenant: Tenant, mode: type_pb2.SearchMode.ValueType) -> set[str]:
    hits = await archival.store.search(tenant, Query("boat", mode), Filters(), 100)
    return {hit.passage.text for hit in hits}


async def test_while_it_is_built_nothing_is_missing_from_searches_and_writes_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = new_user().tenant
    async with opened(tmp_path, WordLlamaEmbedder()) as archival:
        red, *_ = await archival.store.insert(tenant, insert_request(*BOATS))
    shutil.rmtree(tmp_path / "index")
    gate = Gate(monkeypatch)
    async with opened(tmp_path, WordLlamaEmbedder()) as archival:
        await gate.reached.wait()
        for mode in (type_pb2.SEARCH_MODE_LEXICAL, type_pb2.SEARCH_MODE_SEMANTIC, type_pb2.SEARCH_MODE_HYBRID):
            assert await found(archival, tenant, mode) == set(BOATS)
        await archival.store.insert(tenant, insert_request("a boat of meanwhile"))
        await archival.store.delete_passage(tenant, red.id, [], "")
        left = {*BOATS[1:], "a boat of meanwhile"}
        assert await found(archival, tenant, type_pb2.SEARCH_MODE_HYBRID) == left
        gate.open.set()
        await archival.index.built()
        assert await found(archival, tenant, type_pb2.SEARCH_MODE_HYBRID) == left
        assert await archival.index.count() == 3


async def store_many(folder: Path, tenant: Tenant) -> None:
    """Passages of a store whose index has been deleted."""
    async with opened(folder, WordLlamaEmbedder()):
        pass
    shutil.rmtree(folder / "index")
    vector = np.full(WordLlamaEmbedder.dimensions, 1 / 16, dtype="<f2").tobytes()
    fixed = {**owner(tenant), "archive_id": "a", "tags": [], "metadata": {}, "created_at": 0, "vector": vector}
    rows = [{**fixed, "id": f"passage-{n}", "text": f"boat number {n}"} for n in range(_MANY)]
    sql = opening.open_sql(f"sqlite:///{folder}/archival.db")
    await sql.write(lambda c: c.execute(insert(passages), rows))
    await sql.close()


async def until_left(folder: Path, most: int) -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while True:
            if 0 <= index_left(folder) <= most:
                return
            await asyncio.sleep(0.005)


async def test_a_service_killed_in_the_middle_goes_on_from_there(tmp_path: Path) -> None:
    ann, environ, gateway = new_user(), environment(tmp_path), signer(tmp_path)
    await store_many(tmp_path, ann.tenant)
    with running("archival_service", environ) as service:
        await until_left(tmp_path, _MANY - 1)
        service.kill()
    before = index_left(tmp_path)
    assert before > 0
    with running("archival_service", environ) as service:
        assert index_left(tmp_path) <= before
        peer = Peer("archival_service", service.grpc, gateway)
        client = Client(peer, ArchivalServiceStub(peer.channel))
        last = f"boat number {_MANY - 1}"
        assert await client.search(ann, last, limit=1, mode=type_pb2.SEARCH_MODE_LEXICAL) == [last]
        await until_left(tmp_path, 0)
        assert await client.search(ann, last, limit=1, mode=type_pb2.SEARCH_MODE_LEXICAL) == [last]
        await peer.close()
        assert service.stop() == 0
    async with opened(tmp_path, WordLlamaEmbedder()) as archival:
        assert await archival.index.count() == _MANY
        assert index_left(tmp_path) == 0  # it was trusted as it was
