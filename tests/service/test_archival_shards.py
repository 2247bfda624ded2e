"""Owners share several shards, which have no log of their own: what is not on the disk yet, the outbox has."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from archival_service.store import Entry, Filters
from archival_service.stores import edge
from archival_service.stores.edge import EdgeIndex, IndexUnusable
from archival_service.stores.shard import Shard
from servicekit.principal import Tenant

_OWNERS = [Tenant("account", f"user-{n}") for n in range(6)]


def entry(n: int, tenant: Tenant) -> Entry:
    return Entry(n, *tenant, "archive", [], 0, "a red boat", b"\x00\x3c" + bytes(6), "", "")


async def found(index: EdgeIndex, tenant: Tenant) -> list[int]:
    near, matching = await index.candidates(tenant, Filters(), 10, vector=None, words="boat")
    assert near == []
    return [each.n for each in matching]


def shards(folder: Path) -> int:
    return len(list(folder.glob("common-*/*")))


async def test_each_owner_is_found_where_they_are_also_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "_place", lambda tenant: int(tenant.user_id[-1]) % 3)
    index = await EdgeIndex.create(tmp_path, 4)
    assert await found(index, _OWNERS[0]) == []
    await index.put([entry(n, tenant) for n, tenant in enumerate(_OWNERS, 1)])
    await index.forget([2])
    await index.close()
    index = await EdgeIndex.open(tmp_path, 4)
    assert [await found(index, each) for each in _OWNERS] == [[1], [], [3], [4], [5], [6]]
    assert await index.count() == 5
    assert shards(tmp_path) == 3
    await index.close()


async def test_what_is_put_together_is_filtered_by_what_each_has(tmp_path: Path) -> None:
    index = await EdgeIndex.create(tmp_path, 4)
    await index.put([entry(n, _OWNERS[0])._replace(tags=["odd"] if n % 2 else []) for n in range(1, 7)])
    await index.put([entry(1, _OWNERS[0])])
    near, odd = await index.candidates(_OWNERS[0], Filters(tags=("odd",)), 10, vector=None, words="boat")
    assert {each.n for each in odd} == {3, 5}
    assert near == []
    await index.close()


async def test_whoever_flushes_waits_for_what_another_flushes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = await EdgeIndex.create(tmp_path, 4)
    await index.put([entry(1, _OWNERS[0])])
    begun, goes_on, flush = threading.Event(), threading.Event(), Shard.flush
    flushes: list[Shard] = []

    def held_up(shard: Shard) -> None:
        begun.set()
        goes_on.wait()
        flush(shard)
        flushes.append(shard)

    with monkeypatch.context() as patched:
        patched.setattr(Shard, "flush", held_up)
        first = asyncio.create_task(index.flush())
        await asyncio.to_thread(begun.wait)
        second = asyncio.create_task(index.flush())
        await asyncio.sleep(0)
        assert not second.done()
        goes_on.set()
        await asyncio.gather(first, second)
        assert len(flushes) == 1  # nothing has been told since: there is nothing more to flush
        await index.put([entry(2, _OWNERS[0])])
        await index.flush()
        assert len(flushes) == 2
    await index.close()


async def test_a_flush_that_failed_is_still_to_be_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = await EdgeIndex.create(tmp_path, 4)
    await index.put([entry(1, _OWNERS[0])])

    def full(shard: Shard) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(Shard, "flush", full)
        for _ in range(2):
            with pytest.raises(Exception, match="index failed"):
                await index.flush()
    await index.flush()
    await index.close()


@pytest.mark.parametrize("name", ["shard", "shared-8"])
async def test_the_shard_of_an_older_version_is_refused_and_goes(tmp_path: Path, name: str) -> None:
    (tmp_path / name / "0").mkdir(parents=True)
    with pytest.raises(IndexUnusable, match="older version"):
        await EdgeIndex.open(tmp_path, 4)
    index = await EdgeIndex.create(tmp_path, 4)
    assert not (tmp_path / name).exists()
    await index.close()
