"""While its index is still being built, a store keeps every promise: what it finds, and with which scores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from archival_service import scanning
from archival_service.store import ArchivalStore, Filters, Found
from embedders.wordllama import WordLlamaEmbedder
from servicekit.principal import Tenant
from tests.conformance.archival_contract import InsertingAndFinding
from tests.support.archival import Opened, insert_request, opened
from tests.support.keys import new_user
from triptych.archival.v1.archival_pb2 import Passage


@pytest.fixture
async def archival(tmp_path: Path) -> AsyncIterator[Opened]:
    async with opened(tmp_path, WordLlamaEmbedder()) as all_of_it:
        yield all_of_it


@pytest.fixture
def tenant() -> Tenant:
    return new_user().tenant


class TestScanning(InsertingAndFinding):
    """Finding by the store alone."""

    @pytest.fixture
    def store(self, archival: Opened) -> ArchivalStore:
        archival.index.scanned = archival.sql
        return archival.store


TEXTS = [
    "Anna bought a small wooden boat in Bergen.",
    "A boat, a boat, my kingdom for a boat!",
    "the",
    "The ferry to Bergen is a boat too, says Anna, and it is larger than hers by far.",
    "Peter works as a plumber for the railway.",
]


@pytest.mark.parametrize(
    "filters",
    [
        Filters(),
        Filters(tags=("odd", "first")),
        Filters(tags=("odd", "first"), all_tags=True),
        Filters(start=1_000_000, end=3_000_000),
        Filters(file_names=("b.txt",)),
        Filters(document_ids=("document-00000000-0000-4000-8000-000000000001",)),
    ],
)
async def test_the_store_alone_finds_what_the_index_finds_with_the_same_scores(
    archival: Opened, tenant: Tenant, filters: Filters
) -> None:
    request = insert_request(*TEXTS)
    for at, passage in enumerate(request.passages):
        describe(passage, at)
    await archival.store.insert(tenant, request)
    await archival.store.insert(tenant, insert_request("a boat in another archive"))
    await archival.store.insert(new_user().tenant, insert_request("another's boat"))
    for query in ("Anna's boat in Bergen", "the boat", "the", "train"):
        (vector,) = await WordLlamaEmbedder().embed([query])
        indexed = await archival.index.candidates(tenant, filters, 4, vector=vector, words=query)
        scanned = await scanning.candidates(archival.sql, tenant, filters, 4, vector=vector, words=query)
        for one, other in zip(indexed, scanned, strict=True):
            assert by_number(one).keys() == by_number(other).keys()
            assert np.allclose(scores(one), scores(other), rtol=1e-3)


def describe(passage: Passage, at: int) -> None:
    passage.tags.extend([("even", "odd")[at % 2], *(["first"] if at == 1 else [])])
    passage.create_time.FromSeconds(at)
    if at > 2:
        passage.source.file_name = "b.txt"
        passage.source.document_id = f"document-00000000-0000-4000-8000-00000000000{at % 2}"


def by_number(found: list[Found]) -> dict[int, float]:
    return {each.n: each.score for each in found}


def scores(found: list[Found]) -> list[float]:
    return [each.score for each in found]


@pytest.mark.parametrize("part", [1, 2, 100])
async def test_parts_of_any_size_give_the_same(
    archival: Opened, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    await archival.store.insert(tenant, insert_request(*TEXTS))
    await archival.store.insert(tenant, insert_request(*TEXTS))
    whole = await scanning.candidates(archival.sql, tenant, Filters(), 50, vector=None, words="boat in Bergen")
    monkeypatch.setattr(scanning, "_AT_ONCE", part)
    parts = await scanning.candidates(archival.sql, tenant, Filters(), 50, vector=None, words="boat in Bergen")
    assert by_number(parts[1]) == by_number(whole[1])
    assert len(parts[1]) == 6
