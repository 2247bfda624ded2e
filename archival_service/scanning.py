"""Searches the store itself, an owner's passages one by one: so nothing is missing while the index is being built.

Scores are the index's: cosine, and BM25 in which rarity is counted among the owner's passages. What differs is the
time, about 30 us a passage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import nlargest

import numpy as np
from sqlalchemy import Connection

from archival_service.store import Entry, Filters, Found
from archival_service.stores import outbox, points
from embedders import Vectors
from servicekit.principal import Tenant
from servicekit.sql import Database

# So many at once: other reads come in between.
_AT_ONCE = 500
_FIRST = ("", 0)


async def candidates(
    sql: Database, tenant: Tenant, filters: Filters, most: int, *, vector: Vectors | None, words: str
) -> tuple[list[Found], list[Found]]:
    """As `PassageIndex.candidates`."""
    terms = points.bm25().embed_query(words).indices
    look = partial(_look, tenant=tenant, filters=filters, vector=vector, terms=terms)
    looked = [await sql.read(partial(look, after=_FIRST))]
    while (last := looked[-1].last) is not None:
        looked.append(await sql.read(partial(look, after=last)))
    near = [found for part in looked for found in part.near]
    return nlargest(most, near, key=_score), nlargest(most, _matching(looked), key=_score)


@dataclass(frozen=True)
class _Part:
    """What a few passages gave. `last`: the archive and number of the last one; None at the end.

    `weights`: of the query's terms in the passages that have any and pass the filters, shape (`numbers`, terms);
    `having`: how many have each term, of all `total`.
    """

    last: tuple[str, int] | None
    near: list[Found] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    weights: list[list[float]] = field(default_factory=list)
    having: list[int] = field(default_factory=list)
    total: int = 0


def _look(
    connection: Connection,
    tenant: Tenant,
    filters: Filters,
    after: tuple[str, int],
    vector: Vectors | None,
    terms: Sequence[int],
) -> _Part:
    entries = outbox.entries_of(connection, tenant, after, _AT_ONCE)
    if not entries:
        return _Part(None)
    wanted = [points.fits(entry, filters) for entry in entries]
    part = _Part((entries[-1].archive_id, entries[-1].n), total=len(entries))
    if vector is not None:
        part.near.extend(_near([entry for entry, fits in zip(entries, wanted, strict=True) if fits], vector))
    if terms:
        weights = [_weights(entry.text, terms) for entry in entries]
        part.having.extend(sum(1 for row in weights if row[at]) for at in range(len(terms)))
        for entry, row, fits in zip(entries, weights, wanted, strict=True):
            if fits and any(row):
                part.numbers.append(entry.n)
                part.weights.append(row)
    return part


def _near(entries: Sequence[Entry], vector: Vectors) -> list[Found]:
    embedded = [entry for entry in entries if entry.vector]
    if not embedded:
        return []
    stored = np.frombuffer(b"".join(entry.vector for entry in embedded), dtype="<f2").astype(np.float32)
    scores = stored.reshape(len(embedded), -1) @ vector
    return [Found(entry.n, float(score)) for entry, score in zip(embedded, scores, strict=True)]


def _weights(text: str, terms: Sequence[int]) -> list[float]:
    made = points.bm25().embed_document(text)
    has = dict(zip(made.indices, made.values, strict=True))
    return [has.get(term, 0.0) for term in terms]


def _matching(looked: Sequence[_Part]) -> list[Found]:
    numbers = [n for part in looked for n in part.numbers]
    if not numbers:
        return []
    total = sum(part.total for part in looked)
    having = np.sum([part.having for part in looked if part.having], axis=0)
    rarity = np.log((total - having + 0.5) / (having + 0.5) + 1)  # as Qdrant's modifier `Idf`
    scores = np.array([row for part in looked for row in part.weights]) @ rarity
    return [Found(n, float(score)) for n, score in zip(numbers, scores, strict=True)]


def _score(found: Found) -> float:
    return found.score
