"""What every backend of recall does. The owner comes first; another's data is simply not there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, NewType, Protocol, TypeVar

from embedders import Vectors
from recall_service.places import Places
from servicekit.paging import Page
from servicekit.principal import Tenant
from triptych.recall.v1.recall_pb2 import AppendMessagesRequest, ListMessagesRequest, Message
from triptych.type.v1 import type_pb2

T = TypeVar("T")
# What finds a scope's messages by meaning, as of when it was asked for; a backend's own.
Near = NewType("Near", object)
ALL_ROLES = (type_pb2.ROLE_SYSTEM, type_pb2.ROLE_USER, type_pb2.ROLE_ASSISTANT, type_pb2.ROLE_TOOL)


@dataclass(frozen=True)
class Scope:
    """Whose messages: an agent's, a conversation's; with both empty all of the user's."""

    agent_id: str = ""
    conversation_id: str = ""


@dataclass(frozen=True)
class Filters:
    """What a search may find. Times: microseconds since 1970, both ends included."""

    scope: Scope = Scope()
    roles: tuple[int, ...] = ALL_ROLES
    start: int = -(2**63)
    end: int = 2**63 - 1


# A search makes hundreds of these, and a tuple is made in a third of a dataclass's time.
class Found(NamedTuple):
    """A message that a search has come upon. `n`: the store's number of it; `score`: above zero, better is more."""

    n: int
    score: float


@dataclass(frozen=True)
class Waiting:
    """A message whose vector is not there yet. `since`: microseconds since 1970."""

    n: int
    tenant: Tenant
    agent_id: str
    revision: int
    text: str
    since: int


@dataclass(frozen=True)
class Lag:
    """How many messages wait to be embedded, and since when the first does (microseconds since 1970)."""

    waiting: int
    oldest: int

    def seconds(self, now: float) -> float:
        """How long the first has waited at `now` (seconds since 1970); 0 if none waits."""
        return max(0.0, now - self.oldest / 1e6) if self.waiting else 0.0


class Snapshot(Protocol):
    """One state of a user's messages, to be asked from one thread."""

    def find_words(self, query: str, filters: Filters, most: int) -> list[Found]:
        """Messages with any of the query's words, best first."""
        ...

    def find_meaning(self, vector: Vectors, filters: Filters, most: int) -> list[Found]:
        """Messages nearest to `vector` (shape: dimensions) by cosine, best first; not those that still wait."""
        ...

    def places(self, numbers: Sequence[int], scope: Scope) -> Places:
        """Of those that are there. `scope`: where they were found."""
        ...

    def numbered(self, numbers: Sequence[int]) -> dict[int, Message]: ...


class RecallStore(Protocol):
    """Every method is one transaction."""

    async def append(self, tenant: Tenant, request: AppendMessagesRequest) -> list[Message]:
        """Appends the batch, or gives what its `request_id` appended before. Its fields have been checked.

        Raises: FailedPrecondition (REQUEST_ID_REUSED, FENCED), AlreadyExists for a message id that is taken,
        InvalidArgument for a conversation of another agent.
        """
        ...

    async def update(self, tenant: Tenant, message_id: str, text: str, request_id: str) -> Message:
        """Replaces a message's text and keeps the revision before it. A known `request_id` gives what it made then.

        Raises: NotFound, FailedPrecondition REQUEST_ID_REUSED.
        """
        ...

    async def get(self, tenant: Tenant, message_ids: Sequence[str]) -> list[Message]:
        """Those that exist, in the order asked for. Raises: ResourceExhausted if they don't fit one answer."""
        ...

    async def list_page(self, tenant: Tenant, request: ListMessagesRequest, page: Page) -> tuple[list[Message], str]:
        """A page and the next one's token: a conversation by sequence, else by time of creation and arrival.

        `before_id` and `after_id` are meant in the order of the list. Raises: InvalidArgument for a forged token.
        """
        ...

    async def count(self, tenant: Tenant, scope: Scope) -> int: ...

    async def stored_bytes(self, tenant: Tenant, scope: Scope) -> int:
        """Of the messages as they are kept, and of their former revisions."""
        ...

    async def purge(self, tenant: Tenant, scope: Scope, before: int | None, request_id: str) -> int:
        """Deletes the scope's messages and all that was made from them; gives how many there were.

        `before`: only those of an earlier time (microseconds since 1970); conversations then go on counting.

        Raises: FailedPrecondition REQUEST_ID_REUSED.
        """
        ...

    async def near(self, tenant: Tenant, scope: Scope) -> Near:
        """All vectors that had come before the call. Takes a second or more if they have to be read first."""
        ...

    async def look(self, tenant: Tenant, work: Callable[[Snapshot], T], near: Near | None = None) -> T:
        """Runs `work` in a thread. `near`: has to be given if it is searched by meaning, within that scope."""
        ...

    # What follows is the service's own work, over all owners.

    async def use_model(self, model: str, dimensions: int) -> bool:
        """Notes whose vectors these are. If they were another model's, all messages wait again; says whether so."""
        ...

    async def waiting(self, most: int) -> list[Waiting]:
        """The oldest messages that wait to be embedded."""
        ...

    async def lag(self) -> Lag:
        """How far embedding is behind, over all owners and replicas."""
        ...

    async def put_vectors(self, waiting: Sequence[Waiting], vectors: Vectors) -> None:
        """Keeps one row of `vectors` a message. One that was changed or purged meanwhile is passed over."""
        ...

    async def vacuum(self) -> None:
        """After it no byte of what was deleted is left in the store's files."""
        ...

    async def close(self) -> None: ...
