"""Turns and their journal: what makes an acknowledged turn durable, and a replayed one the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Connection, Integer, and_, bindparam, func, insert, select, update

from agent_service import clock
from agent_service.stores import agents, conversations
from agent_service.stores.conversations import Lease
from agent_service.stores.requests import check_same, digest
from agent_service.stores.rows import Window, fetch, mine, of_owner, owned, owner
from agent_service.stores.tables import journal, turns
from agent_service.stores.unfinished import LIVE
from servicekit import ids
from servicekit.principal import Tenant
from servicekit.sql import Prepared
from triptych.agent.v1.agent_pb2 import Agent
from triptych.agent.v1.turn_pb2 import (
    TURN_STATE_QUEUED,
    TURN_STATE_RUNNING,
    ListTurnsRequest,
    StartTurnRequest,
    Turn,
    TurnAccepted,
    TurnEvent,
    TurnState,
)
from triptych.errors import NotFound
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2

_BY_REQUEST = Prepared(
    select(turns).where(
        mine(turns), turns.c.agent_id == bindparam("of_agent"), turns.c.request_id == bindparam("of_request")
    )
)
_THIS = and_(mine(turns), turns.c.id == bindparam("of_turn"))
_FIND = Prepared(select(turns).where(_THIS))
_INSERT, _WRITE_EVENTS = Prepared(insert(turns)), Prepared(insert(journal))
_UPDATE = Prepared(
    update(turns)
    .where(_THIS)
    .values(
        state=bindparam("now"),
        body=bindparam("as_it_stands"),
        attempt=func.coalesce(bindparam("new_attempt", type_=Integer), turns.c.attempt),
        words_since=func.coalesce(bindparam("ended", type_=BigInteger), turns.c.words_since),
    )
)
_ACKNOWLEDGED = Prepared(update(turns).where(_THIS).values(recall_pending=False))


@dataclass(frozen=True)
class TurnRecord:
    """A turn as stored. `attempt`: how often a process has begun to run it. `thinned`: its journal is without words."""

    tenant: Tenant
    turn: Turn
    request: StartTurnRequest
    attempt: int
    recall_pending: bool
    thinned: bool = False

    @property
    def live(self) -> bool:
        return self.turn.state in LIVE


@dataclass(frozen=True)
class Claimed:
    """A turn that this process may run, with the agent as it is now and the journal so far."""

    record: TurnRecord
    agent: Agent
    lease: Lease
    events: list[TurnEvent]


@dataclass(frozen=True)
class Accepted:
    """`new` is false for the replay of a request. `claimed`: set if this process may run the turn at once."""

    record: TurnRecord
    event: TurnEvent
    new: bool
    claimed: Claimed | None = None


def accept(connection: Connection, tenant: Tenant, request: StartTurnRequest, claimant: str, *, idle: bool) -> Accepted:
    """Makes the turn durable as queued, or finds the one that this `request_id` started.

    If the conversation is `idle` in the process of the claimant, a new turn is claimed by it right away.
    Raises: NotFound (agent, or conversation of this agent), FailedPrecondition REQUEST_ID_REUSED; Elsewhere; Orphaned.
    """
    known = _by_request(connection, tenant, request.agent_id, request.request_id)
    if known is not None:
        check_same(known.request_hash, _content(request))
        return Accepted(_to_record(known), events(connection, tenant, known.id)[0], new=False)
    agent = agents.get(connection, tenant, request.agent_id)
    conversation_id = request.conversation_id or agent.default_conversation_id
    lease = conversations.claim(connection, tenant, conversation_id, agent.id, claimant) if idle else None
    if not idle:
        conversations.check_here(connection, tenant, conversation_id, claimant, agent.id)
    turn = Turn(
        id=ids.new("run"),
        agent_id=agent.id,
        conversation_id=conversation_id,
        state=TURN_STATE_RUNNING if lease else TURN_STATE_QUEUED,
        create_time=clock.timestamp(clock.now()),
        background=request.background,
    )
    event = TurnEvent(
        turn_id=turn.id,
        sequence=1,
        attempt=1,
        create_time=turn.create_time,
        accepted=TurnAccepted(turn=turn, messages=_input_messages(turn, request)),
    )
    row = {
        **owner(tenant),
        "id": turn.id,
        "agent_id": agent.id,
        "conversation_id": conversation_id,
        "request_id": request.request_id,
        "request_hash": digest(_content(request)),
        "state": turn.state,
        "recall_pending": True,
        "background": request.background,
        "attempt": 1 if lease else 0,
        "request": request.SerializeToString(),
        "body": turn.SerializeToString(),
    }
    _INSERT.run(connection, row)
    _write_events(connection, tenant, turn.id, [event])
    record = TurnRecord(tenant, turn, request, 1 if lease else 0, True)
    return Accepted(record, event, True, Claimed(record, agent, lease, [event]) if lease else None)


def _content(request: StartTurnRequest) -> StartTurnRequest:
    """What makes two requests the same: not how their events are wanted."""
    content = StartTurnRequest()
    content.CopyFrom(request)
    content.ClearField("deltas")
    content.ClearField("together")
    content.ClearField("background")
    return content


def _input_messages(turn: Turn, request: StartTurnRequest) -> list[Message]:
    return [
        Message(
            id=ids.derived("message", turn.id, "input", index),
            agent_id=turn.agent_id,
            conversation_id=turn.conversation_id,
            role=message.role or type_pb2.ROLE_USER,
            text=message.text,
            name=message.name,
            otid=message.otid,
            image_urls=message.image_urls,
            create_time=turn.create_time,
            turn_id=turn.id,
        )
        for index, message in enumerate(request.messages)
    ]


def claim(connection: Connection, tenant: Tenant, turn_id: str, claimant: str) -> Claimed | None:
    """Takes the turn's conversation and the turn itself, to run it or to go on with it; None if it is over.

    Raises: NotFound if turn, agent or conversation are gone; Elsewhere.
    """
    record = get(connection, tenant, turn_id)
    if not record.live:
        return None
    turn = record.turn
    agent = agents.get(connection, tenant, turn.agent_id)
    lease = conversations.claim(connection, tenant, turn.conversation_id, agent.id, claimant, left=True)
    turn.state = TURN_STATE_RUNNING
    attempt = record.attempt + 1
    _update(connection, tenant, turn, attempt=attempt)
    claimed = TurnRecord(tenant, turn, record.request, attempt, True)
    return Claimed(claimed, agent, lease, events(connection, tenant, turn_id))


def commit(connection: Connection, tenant: Tenant, lease: Lease, turn: Turn, new: Sequence[TurnEvent]) -> None:
    """Writes journal rows and the turn as it now stands. Raises: FailedPrecondition FENCED."""
    conversations.check_lease(connection, tenant, lease)
    _write_events(connection, tenant, turn.id, new)
    if turn.state not in LIVE:
        _update(connection, tenant, turn, words_since=clock.microseconds(turn.end_time))
        agents.touch(connection, tenant, turn.agent_id, clock.microseconds(turn.end_time))


def mark(connection: Connection, tenant: Tenant, turn: Turn) -> None:
    """Writes the state of a turn that is not over: that it waits, or no longer does."""
    _update(connection, tenant, turn)


def end_without_lease(connection: Connection, tenant: Tenant, turn: Turn, new: Sequence[TurnEvent]) -> None:
    """Ends a turn that nobody has begun to run."""
    _write_events(connection, tenant, turn.id, new)
    _update(connection, tenant, turn, words_since=clock.microseconds(turn.end_time))


def recall_acknowledged(connection: Connection, tenant: Tenant, turn_ids: Sequence[str]) -> None:
    """Notes that recall has all messages of these turns."""
    _ACKNOWLEDGED.run(connection, *(of_owner(tenant, of_turn=turn_id) for turn_id in turn_ids))


def get(connection: Connection, tenant: Tenant, turn_id: str) -> TurnRecord:
    """Raises: NotFound."""
    record = find(connection, tenant, turn_id)
    if record is None:
        raise NotFound("run", turn_id)
    return record


def events(
    connection: Connection, tenant: Tenant, turn_id: str, after_sequence: int = 0, limit: int | None = None
) -> list[TurnEvent]:
    query = (
        select(journal.c.event)
        .where(owned(journal, tenant), journal.c.turn_id == turn_id, journal.c.sequence > after_sequence)
        .order_by(journal.c.sequence)
        .limit(limit)
    )
    return [TurnEvent.FromString(raw) for raw in connection.execute(query).scalars()]


def list_page(
    connection: Connection, tenant: Tenant, request: ListTurnsRequest, window: Window
) -> tuple[list[Turn], str]:
    query = select(turns.c.position, turns.c.body).where(owned(turns, tenant))
    if request.agent_id:
        query = query.where(turns.c.agent_id == request.agent_id)
    if request.conversation_id:
        query = query.where(turns.c.conversation_id == request.conversation_id)
    if request.states:
        query = query.where(turns.c.state.in_(list(request.states)))
    if request.background_only:
        query = query.where(turns.c.background)
    rows, token = fetch(connection, query, turns, tenant, window, turns.c.position)
    return [Turn.FromString(row.body) for row in rows], token


def find(connection: Connection, tenant: Tenant, turn_id: str) -> TurnRecord | None:
    row = _FIND.first(connection, of_owner(tenant, of_turn=turn_id))
    return _to_record(row) if row is not None else None


def _by_request(connection: Connection, tenant: Tenant, agent_id: str, request_id: str) -> Any | None:
    return _BY_REQUEST.first(connection, of_owner(tenant, of_agent=agent_id, of_request=request_id))


def _write_events(connection: Connection, tenant: Tenant, turn_id: str, new: Sequence[TurnEvent]) -> None:
    of_turn = {**owner(tenant), "turn_id": turn_id}
    _WRITE_EVENTS.run(connection, *({**of_turn, "sequence": e.sequence, "event": e.SerializeToString()} for e in new))


def _update(
    connection: Connection, tenant: Tenant, turn: Turn, *, attempt: int | None = None, words_since: int | None = None
) -> None:
    """`attempt`, `words_since`: None leaves them as they are."""
    values = {"now": turn.state, "as_it_stands": turn.SerializeToString(), "new_attempt": attempt, "ended": words_since}
    _UPDATE.run(connection, of_owner(tenant, of_turn=turn.id, **values))


def _to_record(row: Any) -> TurnRecord:
    turn = Turn.FromString(row.body)
    turn.state = TurnState.ValueType(row.state)
    return TurnRecord(
        tenant=Tenant(row.account_id, row.user_id),
        turn=turn,
        request=StartTurnRequest.FromString(row.request),
        attempt=row.attempt,
        recall_pending=row.recall_pending,
        thinned=row.state not in LIVE and row.words_since is None,
    )
