"""An owner of many passages gets a shard with a graph, built by another process: nothing is lost or late for it."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from archival_service import promoting, scanning
from archival_service.store import Filters, Query
from archival_service.stores import edge as edge_module
from archival_service.stores.edge import EdgeIndex
from archival_service.stores.shard import Shard
from embedders.wordllama import WordLlamaEmbedder
from servicekit import background
from servicekit.principal import Tenant
from tests.support.archival import Opened, insert_request, opened
from tests.support.keys import new_user
from triptych.type.v1 import type_pb2

_PATIENCE_SECONDS = 60
# Enough for the engine to build a graph.
_MANY = 1_200
_WORDS = (
    "red blue green black white old new small large fast boat train bus ferry tram car bike plane ship cart".split()
)
TEXTS = [f"the {_WORDS[n % 10]} {_WORDS[10 + n // 10 % 10]} number {n}" for n in range(_MANY)]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promoting, "LARGE", 1_000)
    monkeypatch.setattr(edge_module, "_MUCH", 500)

    def optimize(shard: Shard) -> None:
        raise AssertionError("this holds the global lock: not in the process that serves")

    monkeypatch.setattr(Shard, "optimize", optimize)


@pytest.fixture
def tenant() -> Tenant:
    return new_user().tenant


@pytest.fixture
async def archival(tmp_path: Path) -> AsyncIterator[Opened]:
    async with opened(tmp_path, WordLlamaEmbedder()) as all_of_it:
        yield all_of_it


class Gate:
    """Holds up what a process has built."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()
        ended = promoting._ended

        async def gated(process: subprocess.Popen[bytes]) -> None:
            self.reached.set()
            await self.open.wait()
            await ended(process)

        monkeypatch.setattr(promoting, "_ended", gated)


def edge(archival: Opened) -> EdgeIndex:
    index = archival.index.real
    assert isinstance(index, EdgeIndex)
    return index


async def insert(archival: Opened, tenant: Tenant, texts: list[str]) -> list[str]:
    ids: list[str] = []
    for at in range(0, len(texts), 600):
        ids += [each.id for each in await archival.store.insert(tenant, insert_request(*texts[at : at + 600]))]
    return ids


async def until_own(archival: Opened, tenant: Tenant, passages: int = _MANY) -> None:
    """Returns when the owner's shard has been built of so many, and what they had before is gone."""
    shards = edge(archival).folder / "own"
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while True:
            alone = len(list(shards.glob("*"))) == 1 and edge(archival).own_passages(tenant) >= passages
            if alone and not await edge(archival).shared_has(tenant):
                return
            await asyncio.sleep(0.02)


async def words(archival: Opened, tenant: Tenant, query: str) -> list[str]:
    hits = await archival.store.search(tenant, Query(query, type_pb2.SEARCH_MODE_LEXICAL), Filters(), 10)
    return [hit.passage.text for hit in hits]


async def test_what_is_found_in_a_graph_is_what_a_look_at_each_finds(
    archival: Opened, tenant: Tenant, tmp_path: Path
) -> None:
    await insert(archival, tenant, TEXTS)
    await until_own(archival, tenant)
    (marked,) = (tmp_path / "index" / "own").glob("*/owner.json")
    assert list(marked.parent.rglob("graph.bin")) or list(marked.parent.rglob("links*.bin"))
    hits = 0
    queries = [f"the {_WORDS[n]} {_WORDS[10 + n]}" for n in range(10)]
    for query, vector in zip(queries, await WordLlamaEmbedder().embed(queries), strict=True):
        sides = [
            await archival.index.candidates(tenant, Filters(), 10, vector=vector, words=query),
            await scanning.candidates(archival.sql, tenant, Filters(), 10, vector=vector, words=query),
        ]
        near, exact = ([found.score for found in side[0]] for side in sides)
        hits += sum(score >= exact[-1] - 1e-3 for score in near)
        assert [found.score for found in sides[0][1]] == pytest.approx([found.score for found in sides[1][1]], rel=1e-2)
    assert hits >= 95
    other = new_user().tenant
    assert await words(archival, other, "red boat") == []


async def test_what_changes_while_it_is_built_is_in_it(
    archival: Opened, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    first, *_ = await insert(archival, tenant, TEXTS)
    await gate.reached.wait()
    assert await words(archival, tenant, "7") == [TEXTS[7]]
    await archival.store.delete_passage(tenant, first, [], "")
    await archival.store.insert(tenant, insert_request("a zeppelin"))
    other = new_user().tenant
    await archival.store.insert(other, insert_request("another's zeppelin"))
    assert await words(archival, tenant, "zeppelin") == ["a zeppelin"]
    gate.open.set()
    await until_own(archival, tenant, _MANY - 1)
    assert await words(archival, tenant, "zeppelin") == ["a zeppelin"]
    assert await words(archival, other, "zeppelin") == ["another's zeppelin"]
    assert TEXTS[0] not in await words(archival, tenant, TEXTS[0])
    await archival.store.insert(tenant, insert_request("a zeppelin of later"))
    assert len(await words(archival, tenant, "zeppelin")) == 2


async def test_it_is_known_again_after_a_restart_and_built_anew_when_it_has_grown(
    tmp_path: Path, tenant: Tenant
) -> None:
    async with opened(tmp_path, WordLlamaEmbedder()) as archival:
        await insert(archival, tenant, TEXTS)
        await until_own(archival, tenant)
    async with opened(tmp_path, WordLlamaEmbedder()) as archival:
        assert edge(archival).own_passages(tenant) == _MANY  # and not an index that is built anew
        await insert(archival, tenant, TEXTS)
        await until_own(archival, tenant, _MANY + 600)


async def test_one_that_is_cut_short_leaves_everything_as_it_was(
    tmp_path: Path, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        gate = Gate(patched)
        async with opened(tmp_path, WordLlamaEmbedder()) as archival:
            await insert(archival, tenant, TEXTS)
            await gate.reached.wait()
    (tmp_path / "index" / "own" / "left-over").mkdir(parents=True)
    async with opened(tmp_path, WordLlamaEmbedder()) as archival:
        assert not (tmp_path / "index" / "own" / "left-over").exists()
        await until_own(archival, tenant)


async def test_as_many_shards_as_may_be_and_no_more(
    archival: Opened, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promoting, "MOST_SHARDS", 0)
    looked_at = asyncio.Event()
    get = edge(archival).grown.get

    async def next_one() -> Tenant:
        if not edge(archival).grown.qsize():
            looked_at.set()
        return await get()

    monkeypatch.setattr(edge(archival).grown, "get", next_one)
    await insert(archival, tenant, TEXTS)
    looked_at.clear()
    edge(archival).grown.put_nowait(tenant)
    async with asyncio.timeout(_PATIENCE_SECONDS):
        await looked_at.wait()
    assert edge(archival).own_shards == 0
    assert await words(archival, tenant, "7") == [TEXTS[7]]


async def test_a_process_that_fails_leaves_everything_as_it_was(
    archival: Opened, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failed = asyncio.Event()
    monkeypatch.setattr(promoting.sys, "executable", "/bin/false")
    monkeypatch.setattr(background._log, "warning", lambda *_, **__: failed.set())
    await insert(archival, tenant, TEXTS)
    async with asyncio.timeout(_PATIENCE_SECONDS):
        await failed.wait()
    assert edge(archival).own_passages(tenant) == 0
    assert not list((tmp_path / "index" / "own").glob("*"))
    assert await words(archival, tenant, "7") == [TEXTS[7]]
