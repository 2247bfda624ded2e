"""Appending messages: once, in order, and by none but the newest owner of the conversation."""

from __future__ import annotations

import hashlib
import time
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from recall_service.questions import asks
from recall_service.stores.index import MessageIndex
from recall_service.stores.tables import appends, conversations, messages, owned, owner, revisions, row
from recall_service.times import microseconds, timestamp
from servicekit import ids
from servicekit.principal import Tenant
from servicekit.sql import Prepared, sent_together
from triptych.errors import AlreadyExists, FailedPrecondition, InvalidArgument
from triptych.recall.v1.recall_pb2 import AppendMessagesRequest, Message
from triptych.type.v1 import type_pb2

# The conversation's counter, and what the request wrote if it came before.
_COUNTER = Prepared(
    select(conversations, appends.c.request_hash, appends.c.first_sequence, appends.c.number)
    .join_from(
        conversations,
        appends,
        and_(
            owned(appends),
            appends.c.conversation_id == conversations.c.id,
            appends.c.request_id == bindparam("request"),
        ),
        isouter=True,
    )
    .where(owned(conversations), conversations.c.id == bindparam("conversation"))
    .with_for_update(of=conversations)  # SQLite has one writer and needs no lock
)
_ADVANCE = Prepared(
    update(conversations)
    .where(owned(conversations), conversations.c.id == bindparam("conversation"))
    .values(last_sequence=bindparam("new_last"), fence=bindparam("new_fence"))
)
_START = Prepared(insert(conversations))
_NOTE = Prepared(insert(appends))
_TAKEN = select(messages.c.n).where(owned(messages), messages.c.id.in_(bindparam("ids", expanding=True))).limit(1)
_HAS = Prepared(select(messages.c.n).where(owned(messages), messages.c.id == bindparam("one_id")))
# So many ids are looked up one by one, which costs less than a list of them.
_FEW = 4
_INSERT = Prepared(insert(messages))
# As they were appended: what was changed since is in the first revision.
_SPAN = (
    select(func.coalesce(revisions.c.body, messages.c.body))
    .join_from(
        messages,
        revisions,
        and_(owned(revisions), revisions.c.message_id == messages.c.id, revisions.c.revision == 1),
        isouter=True,
    )
    .where(
        owned(messages),
        messages.c.conversation_id == bindparam("conversation"),
        messages.c.sequence.between(bindparam("first"), bindparam("last")),
    )
    .order_by(messages.c.sequence)
)


def append(
    connection: Connection, index: MessageIndex, tenant: Tenant, request: AppendMessagesRequest
) -> list[Message]:
    """As `RecallStore.append`."""
    here = owner(tenant, conversation=request.conversation_id)
    counter = _lock(connection, tenant, request)
    digest = _digest(request)
    known = counter.number is not None
    if known and counter.request_hash != digest:
        raise FailedPrecondition(
            "request_id: was used before for other messages", reason=type_pb2.ERROR_REASON_REQUEST_ID_REUSED
        )
    number = 0 if known else len(request.messages)
    # A replay moves the fence too: it comes from the conversation's new owner.
    moved = {"new_last": counter.last_sequence + number, "new_fence": max(counter.fence, request.fence.token)}
    if known:
        _ADVANCE.run(connection, {**here, **moved})
        span = {"first": counter.first_sequence, "last": counter.first_sequence + counter.number - 1}
        return [Message.FromString(body) for body in connection.execute(_SPAN, {**here, **span}).scalars()]
    _check_ids(connection, index, tenant, request)
    first = counter.last_sequence + 1
    numbers = index.numbers(connection, number)
    numbered = {n: _stored(tenant, request, position, first) for position, n in enumerate(numbers)}
    note = row(
        tenant,
        agent_id=request.agent_id,
        conversation_id=request.conversation_id,
        request_id=request.request_id,
        request_hash=digest,
        first_sequence=first,
        number=number,
    )
    try:
        with sent_together(connection):
            _ADVANCE.run(connection, {**here, **moved})
            _INSERT.run(connection, *(_row(tenant, n, message) for n, message in numbered.items()))
            index.add(connection, tenant, numbered)
            _NOTE.run(connection, note)
    except IntegrityError as error:  # an id that derives from the request, and that somebody has chosen
        raise AlreadyExists("a message of one of these ids is already there") from error
    return list(numbered.values())


class _Counter(NamedTuple):
    """Of a conversation: its last sequence number and the highest fence token seen; and what the request wrote."""

    last_sequence: int
    fence: int
    request_hash: str | None = None
    first_sequence: int | None = None
    number: int | None = None


def _lock(connection: Connection, tenant: Tenant, request: AppendMessagesRequest) -> Any:
    """The conversation's counter, which is locked, or a new one. Gives a `_Counter` or a row with its columns."""
    here = owner(tenant, conversation=request.conversation_id, request=request.request_id)
    counter = _COUNTER.first(connection, here)
    if counter is None:
        new = row(tenant, id=request.conversation_id, agent_id=request.agent_id, last_sequence=0, fence=0)
        _START.run(connection, new)
        return _Counter(0, 0)
    if counter.agent_id != request.agent_id:
        raise InvalidArgument.of("conversation_id", "is a conversation of another agent")
    if 0 < request.fence.token < counter.fence:
        raise FailedPrecondition("a newer owner of this conversation has written", reason=type_pb2.ERROR_REASON_FENCED)
    return counter


def _check_ids(connection: Connection, index: MessageIndex, tenant: Tenant, request: AppendMessagesRequest) -> None:
    """No key says it: PostgreSQL's are of one agent."""
    chosen = [message.id for message in request.messages if message.id]
    if not chosen:
        return
    index.hold_ids(connection, tenant, chosen)
    here = owner(tenant)
    taken = len(set(chosen)) < len(chosen)
    if len(chosen) <= _FEW:
        taken = taken or any(_HAS.first(connection, {**here, "one_id": each}) is not None for each in chosen)
    else:
        taken = taken or connection.execute(_TAKEN, {**here, "ids": chosen}).first() is not None
    if taken:
        raise AlreadyExists("a message of one of these ids is already there")


def _digest(request: AppendMessagesRequest) -> str:
    """Of the content alone: a replay may come under a newer fence."""
    content = AppendMessagesRequest(agent_id=request.agent_id, messages=request.messages)
    return hashlib.sha256(content.SerializeToString(deterministic=True)).hexdigest()


def _stored(tenant: Tenant, request: AppendMessagesRequest, position: int, first: int) -> Message:
    message = Message()
    message.CopyFrom(request.messages[position])
    message.id = message.id or ids.derived("message", *tenant, request.conversation_id, request.request_id, position)
    message.agent_id, message.conversation_id = request.agent_id, request.conversation_id
    message.sequence, message.revision = first + position, 1
    if not message.HasField("create_time"):
        message.create_time.CopyFrom(timestamp(time.time_ns() // 1000))
    return message


def _row(tenant: Tenant, n: int, message: Message) -> dict[str, Any]:
    return row(
        tenant,
        n=n,
        id=message.id,
        agent_id=message.agent_id,
        conversation_id=message.conversation_id,
        sequence=message.sequence,
        role=message.role,
        name=message.name,
        created_at=microseconds(message.create_time),
        revision=1,
        asks=int(asks(message.text)),
        body=message.SerializeToString(),
    )
