"""A passage as a point, in whichever engine: its vectors' names, its payload, and what a filter asks of that."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import qdrant_edge

from archival_service.store import Entry, Filters
from servicekit.principal import Tenant

DENSE, WORDS = "dense", "words"
# Facts are short. BM25 compares lengths with this many words (its own default, 256, is meant for documents).
AVERAGE_WORDS = 40
KEYWORDS = ("owner", "archive", "tags", "document", "file")
INTEGERS = ("at",)
# So many of the keys made last are kept: most passages come many at once, of one owner.
_KNOWN = 1_000


@dataclass(frozen=True)
class AnyOf:
    """That the payload's `field` has one of the values."""

    field: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Between:
    """That the payload's number `field` is in the range; None is no bound."""

    field: str
    least: int | None
    most: int | None


Condition = AnyOf | Between


@cache
def bm25() -> qdrant_edge.Bm25:
    """Makes the terms of texts and queries: the same for every engine, so that words count the same on each."""
    return qdrant_edge.Bm25(qdrant_edge.Bm25Config(avg_len=AVERAGE_WORDS))


@lru_cache(_KNOWN)
def owner_key(tenant: Tenant) -> str:
    """One text that no other tenant has, whatever characters its parts hold."""
    return json.dumps(tenant)


def payload(entry: Entry) -> dict[str, Any]:
    """What a point is filtered by."""
    tenant = Tenant(entry.account_id, entry.user_id)
    made = {
        "owner": owner_key(tenant),
        "archive": _archive_key(tenant, entry.archive_id),
        "tags": entry.tags,
        "at": entry.created_at,
        "document": entry.document_id,
        "file": entry.file_name,
    }
    return {field: value for field, value in made.items() if value not in ("", [])}


def dense(entries: Sequence[Entry]) -> list[list[float] | None]:
    """Their vectors; None for one that has not been embedded yet."""
    embedded = [entry.vector for entry in entries if entry.vector]
    if not embedded:
        return [None] * len(entries)
    values = np.frombuffer(b"".join(embedded), dtype="<f2").astype(np.float32).reshape(len(embedded), -1)
    rows: Iterator[list[float]] = iter(values.tolist())
    return [next(rows) if entry.vector else None for entry in entries]


def conditions(tenant: Tenant, filters: Filters) -> list[Condition]:
    """What a point has to be, all of it."""
    asked: list[Condition] = [_of(tenant, filters.archive_ids)]
    if filters.all_tags:
        asked.extend(AnyOf("tags", (tag,)) for tag in filters.tags)
    else:
        asked.extend(_any("tags", filters.tags))
    asked.extend(_any("document", filters.document_ids))
    asked.extend(_any("file", filters.file_names))
    if filters.start is not None or filters.end is not None:
        asked.append(Between("at", filters.start, filters.end))
    return asked


def fits(entry: Entry, filters: Filters) -> bool:
    """Whether the owner's passage is all that the filters ask of a point."""
    have, asked = set(entry.tags), set(filters.tags)
    return (
        (not filters.archive_ids or entry.archive_id in filters.archive_ids)
        and (not asked or (asked <= have if filters.all_tags else bool(asked & have)))
        and (not filters.document_ids or entry.document_id in filters.document_ids)
        and (not filters.file_names or entry.file_name in filters.file_names)
        and (filters.start is None or entry.created_at >= filters.start)
        and (filters.end is None or entry.created_at <= filters.end)
    )


def _of(tenant: Tenant, archive_ids: Sequence[str]) -> Condition:
    """That it is the owner's, and in one of these archives if some are given."""
    if not archive_ids:
        return AnyOf("owner", (owner_key(tenant),))
    return AnyOf("archive", tuple(_archive_key(tenant, each) for each in archive_ids))


def _any(field: str, values: Sequence[str]) -> list[Condition]:
    return [AnyOf(field, tuple(values))] if values else []


@lru_cache(_KNOWN)
def _archive_key(tenant: Tenant, archive_id: str) -> str:
    """An archive's id with its owner's: one condition that says both, which takes half the time of two."""
    return json.dumps([*tenant, archive_id])
