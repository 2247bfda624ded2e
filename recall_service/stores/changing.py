"""Changing and purging messages, each once for its request id."""

from __future__ import annotations

import hashlib

from sqlalchemy import ColumnElement, Connection, bindparam, delete, insert, select, update

from recall_service.questions import asks
from recall_service.store import Scope
from recall_service.stores import reading
from recall_service.stores.index import MessageIndex
from recall_service.stores.tables import appends, conversations, messages, owned, owner, requests, revisions, row
from servicekit.principal import Tenant
from triptych.errors import FailedPrecondition, NotFound
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2

_ROWS_AT_ONCE = 500

_KNOWN = select(requests).where(owned(requests), requests.c.request_id == bindparam("request"))
_ONE = select(messages.c.n, messages.c.body).where(owned(messages), messages.c.id == bindparam("message"))
_REVISION = select(revisions.c.body).where(
    owned(revisions), revisions.c.message_id == bindparam("message"), revisions.c.revision == bindparam("number")
)
_REPLACE = (
    update(messages)
    .where(owned(messages), messages.c.n == bindparam("number"))
    .values(body=bindparam("new_body"), revision=bindparam("new_revision"), asks=bindparam("new_asks"))
)


def change(
    connection: Connection, index: MessageIndex, tenant: Tenant, message_id: str, text: str, request_id: str
) -> Message:
    """As `RecallStore.update`."""
    digest = _digest("update", message_id, text)
    here = owner(tenant, message=message_id)
    known = _known(connection, tenant, request_id, digest)
    old = connection.execute(_ONE, here).one_or_none()
    if old is None:
        raise NotFound("message", message_id)
    message = Message.FromString(old.body)
    if known == message.revision:
        return message
    if known is not None:
        return Message.FromString(connection.execute(_REVISION, {**here, "number": known}).scalar_one())
    if message.text != text:
        connection.execute(
            insert(revisions),
            row(
                tenant,
                agent_id=message.agent_id,
                message_id=message_id,
                revision=message.revision,
                body=old.body,
            ),
        )
        message.text, message.revision = text, message.revision + 1
        new = {
            "number": old.n,
            "new_body": message.SerializeToString(),
            "new_revision": message.revision,
            "new_asks": int(asks(text)),
        }
        connection.execute(_REPLACE, owner(tenant, **new))
        index.remove(connection, [old.n])
        index.add(connection, tenant, {old.n: message})
    _note(connection, tenant, request_id, digest, message_id=message_id, result=message.revision)
    return message


def purge(
    connection: Connection, index: MessageIndex, tenant: Tenant, scope: Scope, before: int | None, request_id: str
) -> int:
    """As `RecallStore.purge`."""
    digest = _digest("purge", scope.agent_id, scope.conversation_id, *([] if before is None else [str(before)]))
    known = _known(connection, tenant, request_id, digest)
    if known is not None:
        return known
    query = select(messages.c.n, messages.c.id).where(*reading.within(scope))
    if before is not None:
        query = query.where(messages.c.created_at < before)
    rows = connection.execute(query, owner(tenant)).all()
    for at in range(0, len(rows), _ROWS_AT_ONCE):
        part = rows[at : at + _ROWS_AT_ONCE]
        numbers, message_ids = [each.n for each in part], [each.id for each in part]
        index.remove(connection, numbers)
        for table in (revisions, requests):
            connection.execute(delete(table).where(owned(table), table.c.message_id.in_(message_ids)), owner(tenant))
        connection.execute(delete(messages).where(owned(messages), messages.c.n.in_(numbers)), owner(tenant))
    if before is None:
        _forget_conversations(connection, tenant, scope)
    _note(connection, tenant, request_id, digest, message_id="", result=len(rows))
    return len(rows)


def _forget_conversations(connection: Connection, tenant: Tenant, scope: Scope) -> None:
    """The counters and the records of appends."""
    gone: list[ColumnElement[bool]] = [owned(conversations)]
    if scope.agent_id:
        gone.append(conversations.c.agent_id == scope.agent_id)
    if scope.conversation_id:
        gone.append(conversations.c.id == scope.conversation_id)
    ids = select(conversations.c.id).where(*gone)
    connection.execute(delete(appends).where(owned(appends), appends.c.conversation_id.in_(ids)), owner(tenant))
    connection.execute(delete(conversations).where(*gone), owner(tenant))


def _known(connection: Connection, tenant: Tenant, request_id: str, digest: str) -> int | None:
    """The result that this request had before. Raises: FailedPrecondition REQUEST_ID_REUSED."""
    if not request_id:
        return None
    known = connection.execute(_KNOWN, owner(tenant, request=request_id)).one_or_none()
    if known is not None and known.request_hash != digest:
        raise FailedPrecondition(
            "request_id: was used before for something else", reason=type_pb2.ERROR_REASON_REQUEST_ID_REUSED
        )
    return None if known is None else int(known.result)


def _note(
    connection: Connection, tenant: Tenant, request_id: str, digest: str, *, message_id: str, result: int
) -> None:
    if request_id:
        new = row(tenant, request_id=request_id, request_hash=digest, message_id=message_id, result=result)
        connection.execute(insert(requests), new)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
