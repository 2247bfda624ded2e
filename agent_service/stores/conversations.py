"""Conversations: an agent's threads, and the lease that says which process may go on with one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from sqlalchemy import Connection, Row, and_, bindparam, delete, insert, select, update

from agent_service import clock
from agent_service.stores import replicas, unfinished
from agent_service.stores.rows import Window, fetch, mine, of_owner, owned, owner
from agent_service.stores.tables import conversations
from agent_service.stores.views import View
from servicekit import ids, structs
from servicekit.principal import Tenant
from servicekit.sql import Prepared
from triptych.agent.v1.agent_pb2 import Conversation, ListConversationsRequest
from triptych.errors import FailedPrecondition, InvalidArgument, NotFound
from triptych.type.v1 import type_pb2

MAX_TITLE = 500
MAX_SUMMARY = 200_000
UPDATABLE = frozenset({"summary", "title", "metadata"})
_HERE = and_(mine(conversations), conversations.c.id == bindparam("conversation_id"))
_GET = Prepared(select(conversations).where(_HERE))
_INSERT = Prepared(insert(conversations))
_CLAIM = Prepared(
    update(conversations)
    .where(_HERE)
    .values(lease_owner=bindparam("claimant"), fence=bindparam("new_fence"), updated_at=bindparam("now"))
)
_FENCE = Prepared(select(conversations.c.fence).where(_HERE))


@dataclass(frozen=True)
class Lease:
    """The right to run a conversation's turns: writes carry `fence`, and one that has been overtaken is refused.

    `changed`: it was somebody else's before, so that what is known of the conversation may be old. `guest`: it is, or
    was, the conversation of a user with whom the agent is shared.
    """

    conversation_id: str
    owner: str
    fence: int
    view: View
    changed: bool = False
    guest: bool = False


def create(
    connection: Connection, tenant: Tenant, wanted: Conversation, *, conversation_id: str = "", start: int = 0
) -> Conversation:
    """`start`: the first message in view; 0 for a conversation without any. Raises: InvalidArgument."""
    check(wanted)
    made_id, at = conversation_id or ids.new("conv"), clock.now()
    insert_row(connection, tenant, made_id, wanted.agent_id, wanted.summary, at)
    connection.execute(
        update(conversations)
        .where(owned(conversations, tenant), conversations.c.id == made_id)
        .values(
            title=wanted.title,
            metadata=MessageToDict(wanted.metadata),
            forked_from_id=wanted.forked_from_id,
            made=True,
            window_start=start,
        )
    )
    return get(connection, tenant, made_id)


def check(conversation: Conversation) -> None:
    """Raises: InvalidArgument for a title, a summary or metadata that can't be kept."""
    for name, most in (("title", MAX_TITLE), ("summary", MAX_SUMMARY)):
        value = getattr(conversation, name)
        if len(value) > most or "\0" in value:
            raise InvalidArgument.of(name, f"must be at most {most:,} characters, none of them NUL")
    structs.check("metadata", conversation.metadata)


def change(connection: Connection, tenant: Tenant, wanted: Conversation, paths: Sequence[str]) -> Conversation:
    """An update of the fields in `paths`. Raises: NotFound, InvalidArgument."""
    get(connection, tenant, wanted.id)
    check(wanted)
    values: dict[str, Any] = {}
    for path in paths:
        if path not in UPDATABLE:
            raise InvalidArgument.of("update_mask", f"{path} can't be updated; it takes {', '.join(sorted(UPDATABLE))}")
        values[path] = MessageToDict(wanted.metadata) if path == "metadata" else getattr(wanted, path)
    connection.execute(
        update(conversations)
        .where(owned(conversations, tenant), conversations.c.id == wanted.id)
        .values(**values, updated_at=clock.now())
    )
    return get(connection, tenant, wanted.id)


def insert_row(
    connection: Connection, tenant: Tenant, conversation_id: str, agent_id: str, summary: str, at: int
) -> None:
    row = {
        **owner(tenant),
        "id": conversation_id,
        "agent_id": agent_id,
        "summary": summary,
        "lease_owner": None,
        "fence": 0,
        "window_start": 0,
        "notice_step": "",
        "created_at": at,
        "updated_at": at,
    }
    _INSERT.run(connection, row)


def get(connection: Connection, tenant: Tenant, conversation_id: str) -> Conversation:
    """Raises: NotFound."""
    return _to_conversation(_row(connection, tenant, conversation_id))


def list_page(
    connection: Connection, tenant: Tenant, request: ListConversationsRequest, window: Window
) -> tuple[list[Conversation], str]:
    query = select(conversations).where(owned(conversations, tenant))
    if request.agent_id:
        query = query.where(conversations.c.agent_id == request.agent_id)
    if request.without_default:
        query = query.where(conversations.c.made)
    rows, token = fetch(connection, query, conversations, tenant, window)
    return [_to_conversation(row) for row in rows], token


def remove_of_agent(connection: Connection, tenant: Tenant, agent_id: str) -> None:
    connection.execute(delete(conversations).where(owned(conversations, tenant), conversations.c.agent_id == agent_id))


def claim(
    connection: Connection, tenant: Tenant, conversation_id: str, agent_id: str, claimant: str, *, left: bool = False
) -> Lease:
    """Takes the lease. A change of owner raises the fence, so that the owner before can write no more.

    `left`: it is for turns that a process which is gone has left; without it these have to be taken up first.
    Raises: NotFound, also for another agent's; Elsewhere; Orphaned.
    """
    row = _row(connection, tenant, conversation_id)
    if row.agent_id != agent_id:
        raise NotFound("conversation", conversation_id)
    fence, changed = row.fence, row.lease_owner != claimant
    if changed:
        replicas.check_not_elsewhere(connection, row.lease_owner, claimant)
        if not left and row.lease_owner and unfinished.any_of(connection, tenant, conversation_id):
            raise replicas.Orphaned
        fence += 1
        taken = {"claimant": claimant, "new_fence": fence, "now": clock.now()}
        _CLAIM.run(connection, of_owner(tenant, conversation_id=conversation_id, **taken))
    return Lease(conversation_id, claimant, fence, View.of(row), changed, row.guest_id is not None)


def check_here(connection: Connection, tenant: Tenant, conversation_id: str, me: str, agent_id: str = "") -> None:
    """Raises: NotFound, also if it is not of that agent; Elsewhere if another process that is there holds the lease."""
    row = _row(connection, tenant, conversation_id)
    if agent_id and row.agent_id != agent_id:
        raise NotFound("conversation", conversation_id)
    replicas.check_not_elsewhere(connection, row.lease_owner, me)


def check_lease(connection: Connection, tenant: Tenant, lease: Lease) -> None:
    """Raises: FailedPrecondition FENCED if somebody else has taken the lease, or the conversation is gone."""
    held = _FENCE.first(connection, of_owner(tenant, conversation_id=lease.conversation_id))
    if held is None or held.fence != lease.fence:
        raise FailedPrecondition(
            "another process has taken over this conversation", reason=type_pb2.ERROR_REASON_FENCED
        )


def view(connection: Connection, tenant: Tenant, conversation_id: str) -> View:
    """What the model sees of it. Raises: NotFound."""
    return View.of(_row(connection, tenant, conversation_id))


def _row(connection: Connection, tenant: Tenant, conversation_id: str) -> Any:
    row = _GET.first(connection, of_owner(tenant, conversation_id=conversation_id))
    if row is None:
        raise NotFound("conversation", conversation_id)
    return row


def _to_conversation(row: Row[Any]) -> Conversation:
    return Conversation(
        id=row.id,
        agent_id=row.agent_id,
        summary=row.summary,
        create_time=clock.timestamp(row.created_at),
        update_time=clock.timestamp(row.updated_at),
        summary_through=View.of(row).hidden,
        title=row.title,
        metadata=ParseDict(row.metadata, Struct()) if row.metadata else None,
        forked_from_id=row.forked_from_id,
        guest_id=row.guest_id or "",
    )
