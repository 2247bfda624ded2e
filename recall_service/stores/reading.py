"""Reading messages: by id, by number, as pages of a list."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Integer, and_, bindparam, func, select, text, tuple_

from recall_service.places import Place, Places
from recall_service.store import Scope
from recall_service.stores.tables import messages, owned, owner, revisions
from servicekit.paging import Page
from servicekit.principal import Tenant
from servicekit.sql import Prepared
from servicekit.sql.sizes import stored_bytes
from triptych.errors import InvalidArgument, ResourceExhausted
from triptych.recall.v1.recall_pb2 import ListMessagesRequest, Message
from triptych.type.v1 import type_pb2

# More text than this does not go into one answer (a channel takes 64 MiB): pages end early, other reads are refused.
MOST_BYTES = 16 * 1024 * 1024
_ROWS_AT_ONCE = 50

_BY_ID = select(messages.c.id, messages.c.body).where(
    owned(messages), messages.c.id.in_(bindparam("ids", expanding=True))
)
# A search runs these every time. The empty text keeps SQLite from reading all of the owner's rows through an index on
# the owner, where it takes a few by their numbers.
_NUMBERED = and_(
    messages.c.account_id.concat("") == bindparam("owner_account"),
    messages.c.user_id.concat("") == bindparam("owner_user"),
    messages.c.n.in_(bindparam("numbers", expanding=True)),
)
_BY_NUMBER = select(messages.c.n, messages.c.body).where(_NUMBERED)
# SQLite's way to be given a list: SQLAlchemy's, a parameter each, takes as long as all the reading.
_BY_NUMBER_SQLITE = Prepared(
    text(
        """
        SELECT m.n, m.body FROM json_each(:numbers) AS wanted CROSS JOIN messages AS m ON m.n = wanted.value
        WHERE m.account_id = :owner_account AND m.user_id = :owner_user
        """
    )
)
_PLACES = select(
    messages.c.n,
    messages.c.conversation_id,
    messages.c.sequence,
    messages.c.name,
    messages.c.role,
    messages.c.created_at,
    messages.c.asks,
).where(_NUMBERED)

_Key = tuple[Column[Any], ...]


def _plain(*, descending: bool, behind: bool) -> Prepared:
    sequence = messages.c.sequence
    query = select(messages.c.body, sequence).where(
        owned(messages),
        messages.c.agent_id == bindparam("agent_id"),
        messages.c.conversation_id == bindparam("conversation_id"),
    )
    if behind:
        place = bindparam("behind", type_=sequence.type)
        query = query.where(sequence < place if descending else sequence > place)
    return Prepared(query.order_by(sequence.desc() if descending else sequence).limit(bindparam("most", type_=Integer)))


# Pages of one conversation, by whether newest first, and whether behind others.
_PLAIN = {
    (descending, behind): _plain(descending=descending, behind=behind)
    for descending in (True, False)
    for behind in (True, False)
}


def get(connection: Connection, tenant: Tenant, message_ids: Sequence[str]) -> list[Message]:
    """As `RecallStore.get`."""
    found: dict[str, bytes] = {}
    size = 0
    for row in connection.execute(_BY_ID, owner(tenant, ids=list(message_ids))):
        found[row.id] = row.body
        size += len(row.body)
        if size > MOST_BYTES:
            raise ResourceExhausted(f"the messages are more than {MOST_BYTES} bytes: ask for fewer at once")
    return [Message.FromString(found[wanted]) for wanted in message_ids if wanted in found]


def numbered(connection: Connection, tenant: Tenant, numbers: Sequence[int]) -> dict[int, Message]:
    if connection.dialect.name == "sqlite":
        rows = _BY_NUMBER_SQLITE.all(connection, owner(tenant, numbers=str(list(numbers))))
    else:
        rows = connection.execute(_BY_NUMBER, owner(tenant, numbers=list(numbers))).all()
    return {n: Message.FromString(body) for n, body in rows}


def places(connection: Connection, tenant: Tenant, numbers: Sequence[int]) -> Places:
    rows = connection.execute(_PLACES, owner(tenant, numbers=list(numbers)))
    return Places.of(Place(*row) for row in rows)


def count(connection: Connection, tenant: Tenant, scope: Scope) -> int:
    query = select(func.count()).select_from(messages).where(*within(scope))
    return connection.execute(query, owner(tenant)).scalar_one()


def stored(connection: Connection, tenant: Tenant, scope: Scope) -> int:
    """Bytes of the messages, and of their former revisions."""
    now = select(stored_bytes(messages.c.body)).where(*within(scope))
    before = select(stored_bytes(revisions.c.body)).where(owned(revisions))
    if scope != Scope():
        before = before.where(revisions.c.message_id.in_(select(messages.c.id).where(*within(scope))))
    return sum(connection.execute(query, owner(tenant)).scalar_one() for query in (now, before))


def within(scope: Scope) -> list[ColumnElement[bool]]:
    """That a message is the owner's and in the scope."""
    clauses = [owned(messages)]
    if scope.agent_id:
        clauses.append(messages.c.agent_id == scope.agent_id)
    if scope.conversation_id:
        clauses.append(messages.c.conversation_id == scope.conversation_id)
    return clauses


def list_page(
    connection: Connection, tenant: Tenant, request: ListMessagesRequest, page: Page
) -> tuple[list[Message], str]:
    """As `RecallStore.list_page`."""
    if _is_plain(request):
        with closing(_plain_rows(connection, tenant, request, page)) as plain:
            return _page(plain, page)
    key: _Key = (messages.c.sequence,) if request.conversation_id else (messages.c.created_at, messages.c.n)
    query = select(messages.c.body, *key).where(*within(Scope(request.agent_id, request.conversation_id)))
    anchors = ((request.after_id, page.descending), (request.before_id, not page.descending))
    for anchor_id, below in anchors:
        if not anchor_id:
            continue
        anchor = connection.execute(
            query.with_only_columns(*key).where(messages.c.id == anchor_id), owner(tenant)
        ).one_or_none()
        if anchor is None:
            return [], ""
        query = query.where(_beside(key, tuple(anchor), below=below))
    if request.roles:
        query = query.where(messages.c.role.in_(list(request.roles)))
    # With only `before_id` the rows wanted are those next to it: read backwards from it, then turn them round.
    backwards = bool(request.before_id) and not request.after_id
    descending = page.descending is not backwards
    if page.cursor is not None:
        query = query.where(_beside(key, _checked(page.cursor, len(key)), below=descending))
    query = query.order_by(*(column.desc() if descending else column for column in key)).limit(page.size + 1)
    with connection.execute(query.execution_options(yield_per=_ROWS_AT_ONCE), owner(tenant)) as rows:
        found, token = _page(rows, page)
    return found[::-1] if backwards else found, token


def _is_plain(request: ListMessagesRequest) -> bool:
    """Whether it asks for all of one conversation, which is what is listed most."""
    conditions = request.before_id or request.after_id or request.roles
    return bool(request.agent_id and request.conversation_id and not conditions)


def _plain_rows(
    connection: Connection, tenant: Tenant, request: ListMessagesRequest, page: Page
) -> Generator[Sequence[Any]]:
    parameters = owner(tenant, agent_id=request.agent_id, conversation_id=request.conversation_id, most=page.size + 1)
    if page.cursor is not None:
        (parameters["behind"],) = _checked(page.cursor, 1)
    statement = _PLAIN[page.descending, page.cursor is not None]
    return statement.each(connection, parameters, at_once=_ROWS_AT_ONCE)


def _page(rows: Iterable[Sequence[Any]], page: Page) -> tuple[list[Message], str]:
    """`rows`: bodies, each with its key; of one more message than the page has, if there are so many."""
    found: list[Message] = []
    size = 0
    last: tuple[Any, ...] = ()
    for body, *place in rows:
        size += len(body)
        if len(found) == page.size or (found and size > MOST_BYTES):
            return found, page.token(last)
        found.append(Message.FromString(body))
        last = tuple(place)
    return found, ""


def _beside(key: _Key, place: tuple[Any, ...], *, below: bool) -> ColumnElement[bool]:
    """That a row's key is below, or above, the one given."""
    return tuple_(*key) < tuple_(*place) if below else tuple_(*key) > tuple_(*place)


def _checked(cursor: tuple[Any, ...], length: int) -> tuple[Any, ...]:
    """Tokens are not secret, so one may be forged."""
    if len(cursor) == length and all(type(part) is int and -(2**63) <= part < 2**63 for part in cursor):
        return cursor
    raise InvalidArgument("page_token: not a token of this query", reason=type_pb2.ERROR_REASON_PAGE_TOKEN_INVALID)
