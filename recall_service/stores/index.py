"""What finds messages, beside the tables that hold them: a backend's own way with words and vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from sqlalchemy import Connection

from embedders import Vectors
from recall_service.places import Places
from recall_service.store import Filters, Found, Near, Scope, Waiting
from servicekit.principal import Tenant
from triptych.recall.v1.recall_pb2 import Message


class MessageIndex(Protocol):
    """What is given a connection is a part of its transaction. `numbered`: messages by the store's numbers of them."""

    def numbers(self, connection: Connection, count: int) -> Sequence[int]:
        """So many new numbers for messages, rising, and higher than those that the conversation has or had."""
        ...

    def hold_ids(self, connection: Connection, tenant: Tenant, message_ids: Sequence[str]) -> None:
        """Until the transaction ends nobody else writes messages of the user's with these ids."""
        ...

    def add(self, connection: Connection, tenant: Tenant, numbered: Mapping[int, Message]) -> None:
        """From the commit on the messages are found by their words, and wait to be embedded."""
        ...

    def remove(self, connection: Connection, numbers: Sequence[int]) -> None:
        """Nothing that was made of the messages is left."""
        ...

    def find_words(
        self, connection: Connection, tenant: Tenant, query: str, filters: Filters, most: int
    ) -> list[Found]: ...

    def waiting(self, connection: Connection, most: int) -> list[Waiting]:
        """As `RecallStore.waiting`, in a transaction that may write."""
        ...

    def put_vectors(self, connection: Connection, waiting: Sequence[Waiting], vectors: Vectors) -> None: ...

    def forget_vectors(self, connection: Connection) -> None:
        """All vectors of all owners go, and their messages wait again."""
        ...

    def compact(self, connection: Connection) -> None:
        """Drops what is kept of messages that were removed."""
        ...

    async def near(self, tenant: Tenant, scope: Scope) -> Near: ...

    def find_meaning(
        self, connection: Connection, near: Near, tenant: Tenant, vector: Vectors, filters: Filters, most: int
    ) -> list[Found]: ...

    def places(self, tenant: Tenant, scope: Scope, numbers: Sequence[int]) -> Places | None:
        """As `Snapshot.places`, if all are in memory."""
        ...

    def appended(self) -> None:
        """Messages came: a commit has just said so."""
        ...

    def changed(self, tenant: Tenant) -> None:
        """Some of the user's messages were changed or purged: a commit has just said so."""
        ...

    def came(self, embedded: Sequence[Waiting]) -> None:
        """Vectors of these came: a commit has just said so."""
        ...

    def all_went(self) -> None:
        """All vectors of all owners: a commit has just said so."""
        ...
