"""Messages: appending them once and in order, reading, changing and purging them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from recall_service.stores import index
from recall_service.stores.tables import appends, conversations, messages, revisions
from servicekit import ids
from servicekit.paging import Page
from servicekit.principal import Tenant
from triptych.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from triptych.recall.v1.recall_pb2 import AppendMessagesRequest, ListMessagesRequest, Message
from triptych.type.v1 import type_pb2


def append(connection: Connection, tenant: Tenant, request: AppendMessagesRequest) -> list[Message]:
    """Appends the batch, or gives what its `request_id` appended before.

    Raises: FailedPrecondition (REQUEST_ID_REUSED, FENCED), AlreadyExists for a message id that is taken,
    InvalidArgument for a conversation of another agent.
    """
    digest = _digest(request)
    known = connection.execute(
        select(appends).where(
            owned(appends, tenant),
            appends.c.conversation_id == request.conversation_id,
            appends.c.request_id == request.request_id,
        )
    ).one_or_none()
    if known is not None:
        if known.request_hash != digest:
            raise FailedPrecondition(
                "request_id: was used before for other messages", reason=type_pb2.ERROR_REASON_REQUEST_ID_REUSED
            )
        return _span(connection, tenant, request.conversation_id, known.first_sequence, known.number)
    first = _reserve(connection, tenant, request) + 1
    stored = _insert(connection, tenant, request, first)
    connection.execute(
        insert(appends).values(
            **owner(tenant),
            conversation_id=request.conversation_id,
            request_id=request.request_id,
            request_hash=digest,
            first_sequence=first,
            number=len(stored),
        )
    )
    return stored


def _digest(request: AppendMessagesRequest) -> str:
    """Of the content alone: a replay may come under a newer fence."""
    content = AppendMessagesRequest(agent_id=request.agent_id, messages=request.messages)
    return hashlib.sha256(content.SerializeToString(deterministic=True)).hexdigest()


def _reserve(connection: Connection, tenant: Tenant, request: AppendMessagesRequest) -> int:
    """Takes the batch's sequence numbers from the conversation's counter; gives the last one before them."""
    here = and_(owned(conversations, tenant), conversations.c.id == request.conversation_id)
    row = connection.execute(select(conversations).where(here).with_for_update()).one_or_none()
    fence = request.fence.token
    if row is None:
        connection.execute(
            insert(conversations).values(
                **owner(tenant),
                id=request.conversation_id,
                agent_id=request.agent_id,
                last_sequence=len(request.messages),
                fence=fence,
            )
        )
        return 0
    if row.agent_id != request.agent_id:
        raise InvalidArgument.of("conversation_id", "is a conversation of another agent")
    if fence and fence < row.fence:
        raise FailedPrecondition("a newer owner of this conversation has written", reason=type_pb2.ERROR_REASON_FENCED)
    connection.execute(
        update(conversations)
        .where(here)
        .values(last_sequence=row.last_sequence + len(request.messages), fence=max(fence, row.fence))
    )
    last: int = row.last_sequence
    return last


def _insert(connection: Connection, tenant: Tenant, request: AppendMessagesRequest, first: int) -> list[Message]:
    stored, rows = [], []
    for position, given in enumerate(request.messages):
        message = Message()
        message.CopyFrom(given)
        message.id = given.id or ids.derived("message", *tenant, request.conversation_id, request.request_id, position)
        message.agent_id, message.conversation_id = request.agent_id, request.conversation_id
        message.sequence, message.revision = first + position, 1
        if not message.HasField("create_time"):
            message.create_time.CopyFrom(_timestamp(time.time_ns() // 1000))
        stored.append(message)
        rows.append(
            {
                **owner(tenant),
                "id": message.id,
                "agent_id": message.agent_id,
                "conversation_id": message.conversation_id,
                "sequence": message.sequence,
                "role": message.role,
                "created_at": microseconds(message.create_time),
                "body": message.SerializeToString(),
            }
        )
    try:
        numbers = connection.execute(
            insert(messages).returning(messages.c.n, sort_by_parameter_order=True), rows
        ).scalars()
        index.add(connection, tenant, dict(zip(numbers, stored, strict=True)))
    except IntegrityError:
        raise AlreadyExists("a message of one of these ids is already there") from None
    return stored


def change(connection: Connection, tenant: Tenant, message_id: str, text: str) -> Message:
    """Replaces a message's text and keeps what it was. Raises: NotFound."""
    here = and_(owned(messages, tenant), messages.c.id == message_id)
    row = connection.execute(select(messages.c.n, messages.c.body).where(here)).one_or_none()
    if row is None:
        raise NotFound("message", message_id)
    message = Message.FromString(row.body)
    if message.text == text:
        return message
    connection.execute(
        insert(revisions).values(**owner(tenant), message_id=message_id, revision=message.revision, body=row.body)
    )
    message.text, message.revision = text, message.revision + 1
    connection.execute(update(messages).where(here).values(body=message.SerializeToString()))
    index.remove(connection, [row.n])
    index.add(connection, tenant, {row.n: message})
    return message


def get_many(connection: Connection, tenant: Tenant, message_ids: Sequence[str]) -> list[Message]:
    """Those that exist, in the order asked for."""
    query = select(messages.c.id, messages.c.body).where(owned(messages, tenant), messages.c.id.in_(message_ids))
    found = {row.id: row.body for row in connection.execute(query)}
    return [Message.FromString(found[wanted]) for wanted in message_ids if wanted in found]


def list_page(
    connection: Connection, tenant: Tenant, request: ListMessagesRequest, page: Page
) -> tuple[list[Message], str]:
    """A page in order of arrival, or backwards. `before_id` and `after_id` are meant in that order."""
    query = select(messages.c.n, messages.c.body).where(*_scope(tenant, request.agent_id, request.conversation_id))
    if request.roles:
        query = query.where(messages.c.role.in_(list(request.roles)))
    for anchor_id, behind in ((request.after_id, True), (request.before_id, False)):
        if not anchor_id:
            continue
        anchor = connection.execute(
            select(messages.c.n).where(owned(messages, tenant), messages.c.id == anchor_id)
        ).scalar()
        if anchor is None:
            return [], ""
        query = query.where(messages.c.n < anchor if page.descending is behind else messages.c.n > anchor)
    if page.cursor is not None:
        (cursor,) = page.cursor
        query = query.where(messages.c.n < cursor if page.descending else messages.c.n > cursor)
    # With only `before_id` the rows wanted are those next to it: read backwards from it, then turn them round.
    backwards = bool(request.before_id) and not request.after_id
    descending = page.descending is not backwards
    query = query.order_by(messages.c.n.desc() if descending else messages.c.n).limit(page.size + 1)
    rows = connection.execute(query).all()
    more, rows = len(rows) > page.size, rows[: page.size]
    found = [Message.FromString(row.body) for row in rows]
    if backwards:
        return found[::-1], ""
    return found, page.token((rows[-1].n,)) if more else ""


def count(connection: Connection, tenant: Tenant, agent_id: str, conversation_id: str) -> int:
    query = select(func.count()).select_from(messages).where(*_scope(tenant, agent_id, conversation_id))
    return connection.execute(query).scalar_one()


def purge(connection: Connection, tenant: Tenant, agent_id: str, conversation_id: str) -> int:
    """Deletes the scope's messages with all that was made from them; both empty means all of the user's."""
    scope = _scope(tenant, agent_id, conversation_id)
    rows = connection.execute(select(messages.c.n, messages.c.id).where(*scope)).all()
    for at in range(0, len(rows), 500):
        part = rows[at : at + 500]
        numbers = [row.n for row in part]
        index.remove(connection, numbers)
        message_ids = [row.id for row in part]
        connection.execute(delete(revisions).where(owned(revisions, tenant), revisions.c.message_id.in_(message_ids)))
        connection.execute(delete(messages).where(messages.c.n.in_(numbers)))
    gone = select(conversations.c.id).where(owned(conversations, tenant))
    if agent_id:
        gone = gone.where(conversations.c.agent_id == agent_id)
    if conversation_id:
        gone = gone.where(conversations.c.id == conversation_id)
    connection.execute(delete(appends).where(owned(appends, tenant), appends.c.conversation_id.in_(gone)))
    connection.execute(
        delete(conversations).where(owned(conversations, tenant), conversations.c.id.in_(gone.scalar_subquery()))
    )
    return len(rows)


def owned(table: Any, tenant: Tenant) -> ColumnElement[bool]:
    return and_(table.c.account_id == tenant.account_id, table.c.user_id == tenant.user_id)


def owner(tenant: Tenant) -> dict[str, str]:
    return {"account_id": tenant.account_id, "user_id": tenant.user_id}


def microseconds(value: Timestamp) -> int:
    return value.seconds * 1_000_000 + value.nanos // 1000


def _timestamp(value: int) -> Timestamp:
    return Timestamp(seconds=value // 1_000_000, nanos=value % 1_000_000 * 1000)


def _scope(tenant: Tenant, agent_id: str, conversation_id: str) -> list[ColumnElement[bool]]:
    scope = [owned(messages, tenant)]
    if agent_id:
        scope.append(messages.c.agent_id == agent_id)
    if conversation_id:
        scope.append(messages.c.conversation_id == conversation_id)
    return scope


def _span(connection: Connection, tenant: Tenant, conversation_id: str, first: int, number: int) -> list[Message]:
    query = (
        select(messages.c.body)
        .where(
            owned(messages, tenant),
            messages.c.conversation_id == conversation_id,
            messages.c.sequence.between(first, first + number - 1),
        )
        .order_by(messages.c.sequence)
    )
    return [Message.FromString(body) for body in connection.execute(query).scalars()]
