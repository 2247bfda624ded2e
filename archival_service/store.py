"""What archival memory does, whatever it is kept in. The owner comes first; another's data is simply not there.

What the owner's account has, it can read where it names it, and not change (PermissionDenied).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from embedders import Vectors
from servicekit.paging import Page
from servicekit.principal import Tenant
from triptych.archival.v1.archival_pb2 import (
    Archive,
    Document,
    InsertPassagesRequest,
    ListArchivesRequest,
    ListDocumentsRequest,
    ListPassagesRequest,
    Passage,
    PassageHit,
    Vector,
)
from triptych.type.v1 import type_pb2
from triptych.type.v1.type_pb2 import Fence


@dataclass(frozen=True)
class Filters:
    """What a search may find; empty or None means any. Times: microseconds since 1970, both ends included."""

    archive_ids: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    all_tags: bool = False
    start: int | None = None
    end: int | None = None
    document_ids: tuple[str, ...] = ()
    file_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Query:
    """What to find. `vector`: its meaning, if the caller has made that; else it is made of `text`."""

    text: str
    mode: type_pb2.SearchMode.ValueType = type_pb2.SEARCH_MODE_HYBRID
    vector: Vector | None = None


@dataclass(frozen=True)
class Purged:
    """How much a purge deleted."""

    archives: int
    passages: int


@dataclass(frozen=True)
class Begun:
    """A document that can be added to by whoever has `fence`, until somebody begins it anew."""

    document: Document
    fence: Fence


class ArchivalStore(Protocol):
    """Archives and passages, kept for good. Every method sees one state of things, and all of a write or none of it.

    A `request_id` that was used before gives the answer of then (an archive: as it is now) and does nothing again;
    used for something else it raises FailedPrecondition REQUEST_ID_REUSED. Empty: the write is not remembered.
    """

    @property
    def embedding(self) -> tuple[str, int]:
        """The model that vectors are made with, and their dimensions."""
        ...

    async def create_archive(self, tenant: Tenant, wanted: Archive, request_id: str) -> Archive:
        """Raises: AlreadyExists for a chosen id that is taken."""
        ...

    async def get_archive(self, tenant: Tenant, archive_id: str) -> Archive:
        """Raises: NotFound."""
        ...

    async def list_archives(
        self, tenant: Tenant, request: ListArchivesRequest, page: Page
    ) -> tuple[list[Archive], str]:
        """A page in the order of creation, and the next one's token. Raises: InvalidArgument for a forged token."""
        ...

    async def update_archive(self, tenant: Tenant, wanted: Archive, paths: Sequence[str], request_id: str) -> Archive:
        """Changes the fields named by `paths`. Raises: NotFound."""
        ...

    async def delete_archive(self, tenant: Tenant, archive_id: str, request_id: str) -> None:
        """Deletes it with its passages. Raises: NotFound."""
        ...

    async def insert(self, tenant: Tenant, request: InsertPassagesRequest) -> list[Passage]:
        """Returns when the passages are committed and a search finds them. Its fields have been checked.

        Raises: NotFound (archive), AlreadyExists for a passage id that is taken, FailedPrecondition FENCED;
        Unavailable: EMBEDDER_UNAVAILABLE if nothing was stored, UNAVAILABLE if they are stored and not yet found.
        """
        ...

    async def get_passage(self, tenant: Tenant, passage_id: str) -> Passage:
        """Raises: NotFound."""
        ...

    async def list_passages(
        self, tenant: Tenant, request: ListPassagesRequest, page: Page
    ) -> tuple[list[Passage], str]:
        """A page in the order of arrival, and the next one's token. Raises: InvalidArgument for a forged token."""
        ...

    async def count_passages(self, tenant: Tenant, archive_ids: Sequence[str]) -> int:
        """In these archives; in all of them if none is given."""
        ...

    async def stored_bytes(self, tenant: Tenant, archive_ids: Sequence[str]) -> int:
        """Of the passages' texts, tags and metadata, in these archives; in all of them if none is given."""
        ...

    async def delete_passage(
        self, tenant: Tenant, passage_id: str, archive_ids: Sequence[str], request_id: str
    ) -> None:
        """Raises: NotFound, also if it is in none of `archive_ids` and some are given."""
        ...

    async def search(self, tenant: Tenant, query: Query, filters: Filters, limit: int) -> list[PassageHit]:
        """The best `limit` hits, best first.

        Raises: Unavailable for a semantic search while the embedder is away; InvalidArgument for a vector of another
        dimension.
        """
        ...

    async def purge(self, tenant: Tenant, archive_ids: Sequence[str] | None, request_id: str) -> Purged:
        """Deletes these archives (those that are there) with their passages; with None all of the owner's."""
        ...

    async def begin_document(
        self, tenant: Tenant, wanted: Document, fingerprint: str, create_archive_name: str, request_id: str
    ) -> Begun:
        """Says that a document's passages will come. Whoever began it before is fenced off.

        Passages of it that are there already stay if they were made under the same `fingerprint`. A document that is
        complete is left as it is. Raises: NotFound (archive).
        """
        ...

    async def finish_document(self, tenant: Tenant, begun: Begun, request_id: str) -> tuple[Document, list[str]]:
        """All its passages are there. Gives it, and the ids of those of the same name that it took the place of.

        Raises: FailedPrecondition FENCED if it was begun anew or deleted meanwhile.
        """
        ...

    async def get_document(self, tenant: Tenant, document_id: str) -> Document:
        """Raises: NotFound."""
        ...

    async def list_documents(
        self, tenant: Tenant, request: ListDocumentsRequest, page: Page
    ) -> tuple[list[Document], str]:
        """A page in the order of creation, and the next one's token. Raises: InvalidArgument for a forged token."""
        ...

    async def restore_document(self, tenant: Tenant, wanted: Document) -> Document:
        """Lists a document of whose passages some are there. Raises: NotFound if none is; it has no other archive's."""
        ...

    async def delete_document(self, tenant: Tenant, document_id: str, request_id: str) -> None:
        """Deletes it with its passages. Raises: NotFound."""
        ...


# Made by the thousand, and a tuple in a third of a dataclass's time.
class Entry(NamedTuple):
    """A passage as an index keeps it. `n`: the store's number of it, never used twice.

    `vector`: float16, little-endian; empty while it waits to be made, and then found by words alone.
    """

    n: int
    account_id: str
    user_id: str
    archive_id: str
    tags: list[str]
    created_at: int
    text: str
    vector: bytes
    document_id: str
    file_name: str


@dataclass(frozen=True)
class Found:
    """A passage that the index has come upon; a better score is more."""

    n: int
    score: float


class PassageIndex(Protocol):
    """Finds passages of one owner by meaning and by words. Every method raises Unavailable if the engine fails."""

    async def put(self, entries: Sequence[Entry]) -> None:
        """Writes passages, new or not; they are found when it returns."""
        ...

    async def forget(self, numbers: Sequence[int]) -> None:
        """Passages of these numbers, if any, are no longer found."""
        ...

    async def flush(self) -> None:
        """Returns when everything told so far outlives a power cut."""
        ...

    async def candidates(
        self, tenant: Tenant, filters: Filters, most: int, *, vector: Vectors | None, words: str
    ) -> tuple[list[Found], list[Found]]:
        """The nearest to `vector` (shape: dimensions) by cosine, and the best matches of `words` by BM25.

        Best first, at most `most` each. A side that is not asked for (None, or '') is empty.
        """
        ...

    async def count(self) -> int:
        """How many passages it has, of all owners."""
        ...

    async def built(self) -> None:
        """Returns when it has been told of all that the store had when it was opened."""
        ...

    async def close(self) -> None: ...
