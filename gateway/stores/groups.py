"""Groups of agents: who is in them, and which turns were run for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, func, insert, select, tuple_, update

from gateway.stores.rows import now
from gateway.stores.tables import group_members, group_messages, group_turns, groups
from servicekit import ids
from servicekit.principal import Tenant
from triptych.errors import FailedPrecondition, NotFound

MAX_GROUPS = 10_000


@dataclass(frozen=True)
class Member:
    """`conversation_id`: the agent's conversation for the group."""

    agent_id: str
    conversation_id: str


@dataclass(frozen=True)
class Group:
    """`manager`: of a supervised group. `settings`: description, max_turns, hidden."""

    id: str
    created_at: int
    manager_type: str
    settings: Mapping[str, Any]
    members: Sequence[Member]
    manager: Member | None


@dataclass(frozen=True)
class GroupTurn:
    """A turn of `agent_id` for the group's message of the number `sequence`; the `number`th of its turns."""

    sequence: int
    number: int
    key: str
    agent_id: str
    turn_id: str
    # How many messages were sent to the group then.
    inputs: int


def create(connection: Connection, tenant: Tenant, group: Group, request_id: str) -> Group:
    """A replay of the `request_id` gives the group that it made. Raises: FailedPrecondition for too many."""
    known = connection.execute(
        select(groups.c.id).where(_owned(groups, tenant), groups.c.request_id == request_id)
    ).scalar_one_or_none()
    if known is not None:
        return get(connection, tenant, known)
    if count(connection, tenant) >= MAX_GROUPS:
        raise FailedPrecondition(f"a user has at most {MAX_GROUPS:,} groups")
    connection.execute(
        insert(groups).values(
            **_owner(tenant),
            id=group.id,
            created_at=now(),
            manager_type=group.manager_type,
            settings=dict(group.settings),
            request_id=request_id,
        )
    )
    set_members(connection, tenant, group.id, group.members, group.manager)
    return get(connection, tenant, group.id)


def new_id() -> str:
    return ids.new("group")


def get(connection: Connection, tenant: Tenant, group_id: str) -> Group:
    """Raises: NotFound."""
    row = connection.execute(select(groups).where(_owned(groups, tenant), groups.c.id == group_id)).one_or_none()
    if row is None:
        raise NotFound("group", group_id[:200])
    return _to_groups(connection, tenant, [row])[0]


def all_of(connection: Connection, tenant: Tenant) -> list[Group]:
    """Oldest first."""
    query = select(groups).where(_owned(groups, tenant)).order_by(groups.c.created_at, groups.c.id)
    return _to_groups(connection, tenant, connection.execute(query).all())


def list_next(
    connection: Connection,
    tenant: Tenant,
    size: int,
    *,
    before_id: str,
    after_id: str,
    descending: bool,
    manager_type: str,
) -> list[Group]:
    """At most `size`, by the time of making, next to the groups of these ids ('': from the start)."""
    query, key = select(groups).where(_owned(groups, tenant)), tuple_(groups.c.created_at, groups.c.id)
    if manager_type:
        query = query.where(groups.c.manager_type == manager_type)
    for anchor_id, behind in ((after_id, True), (before_id, False)):
        if not anchor_id:
            continue
        anchor = connection.execute(
            select(groups.c.created_at, groups.c.id).where(_owned(groups, tenant), groups.c.id == anchor_id)
        ).one_or_none()
        if anchor is None:
            return []
        query = query.where(key < tuple(anchor) if descending is behind else key > tuple(anchor))
    backwards = bool(before_id) and not after_id
    ends = (groups.c.created_at, groups.c.id)
    order = [end.desc() for end in ends] if descending is not backwards else list(ends)
    rows = connection.execute(query.order_by(*order).limit(size)).all()
    return _to_groups(connection, tenant, rows[::-1] if backwards else rows)


def count(connection: Connection, tenant: Tenant) -> int:
    return connection.execute(select(func.count()).select_from(groups).where(_owned(groups, tenant))).scalar_one()


def change(connection: Connection, tenant: Tenant, group_id: str, settings: Mapping[str, Any]) -> None:
    """Sets those of its settings. Raises: NotFound."""
    group = get(connection, tenant, group_id)
    connection.execute(
        update(groups)
        .where(_owned(groups, tenant), groups.c.id == group_id)
        .values(settings={**group.settings, **settings})
    )


def set_members(
    connection: Connection, tenant: Tenant, group_id: str, members: Sequence[Member], manager: Member | None
) -> None:
    """In place of those that it had."""
    connection.execute(delete(group_members).where(_owned(group_members, tenant), group_members.c.group_id == group_id))
    placed = [*((-1, manager) for _ in [0] if manager), *enumerate(members)]
    for position, member in placed:
        connection.execute(
            insert(group_members).values(
                **_owner(tenant),
                group_id=group_id,
                agent_id=member.agent_id,
                position=position,
                conversation_id=member.conversation_id,
            )
        )


def remove(connection: Connection, tenant: Tenant, group_id: str) -> None:
    """What was said stays with the agents. Raises: NotFound."""
    get(connection, tenant, group_id)
    forget(connection, tenant, group_id)
    connection.execute(delete(group_members).where(_owned(group_members, tenant), group_members.c.group_id == group_id))
    connection.execute(delete(groups).where(_owned(groups, tenant), groups.c.id == group_id))


def forget(connection: Connection, tenant: Tenant, group_id: str) -> None:
    """Of all that was sent to the group, which turns it was."""
    for table in (group_turns, group_messages):
        connection.execute(delete(table).where(_owned(table, tenant), table.c.group_id == group_id))


def begin(connection: Connection, tenant: Tenant, group_id: str, request_id: str, inputs: int) -> int:
    """The number of a message to the group; a replay of the `request_id` has the number that it had."""
    mine = and_(_owned(group_messages, tenant), group_messages.c.group_id == group_id)
    known = select(group_messages.c.sequence).where(mine, group_messages.c.request_id == request_id)
    sequence = connection.execute(known).scalar_one_or_none()
    if sequence is not None:
        return int(sequence)
    last = connection.execute(select(func.max(group_messages.c.sequence)).where(mine)).scalar() or 0
    connection.execute(
        insert(group_messages).values(
            **_owner(tenant), group_id=group_id, sequence=last + 1, request_id=request_id, inputs=inputs
        )
    )
    return int(last) + 1


def note_turn(connection: Connection, tenant: Tenant, group_id: str, turn: GroupTurn) -> None:
    """Under the next number. Noting its key again changes nothing."""
    mine = and_(
        _owned(group_turns, tenant), group_turns.c.group_id == group_id, group_turns.c.sequence == turn.sequence
    )
    if connection.execute(select(group_turns.c.number).where(mine, group_turns.c.key == turn.key)).first():
        return
    number = connection.execute(select(func.count()).select_from(group_turns).where(mine)).scalar_one()
    connection.execute(
        insert(group_turns).values(
            **_owner(tenant),
            group_id=group_id,
            sequence=turn.sequence,
            number=number,
            key=turn.key,
            agent_id=turn.agent_id,
            turn_id=turn.turn_id,
        )
    )


def turns(connection: Connection, tenant: Tenant, group_id: str) -> list[GroupTurn]:
    """All that were run for the group, in their order. Raises: NotFound."""
    get(connection, tenant, group_id)
    same = and_(
        group_messages.c.account_id == group_turns.c.account_id,
        group_messages.c.user_id == group_turns.c.user_id,
        group_messages.c.group_id == group_turns.c.group_id,
        group_messages.c.sequence == group_turns.c.sequence,
    )
    query = select(group_turns, group_messages.c.inputs).join(group_messages, same)
    query = query.where(_owned(group_turns, tenant), group_turns.c.group_id == group_id)
    return [
        GroupTurn(row.sequence, row.number, row.key, row.agent_id, row.turn_id, row.inputs)
        for row in connection.execute(query.order_by(group_turns.c.sequence, group_turns.c.number))
    ]


def remove_of(connection: Connection, tenant: Tenant) -> int:
    """Deletes all of a user's; gives the number of rows."""
    return sum(
        connection.execute(delete(table).where(_owned(table, tenant))).rowcount
        for table in (group_turns, group_messages, group_members, groups)
    )


def _owned(table: Any, tenant: Tenant) -> Any:
    return and_(table.c.account_id == tenant.account_id, table.c.user_id == tenant.user_id)


def _owner(tenant: Tenant) -> dict[str, str]:
    return {"account_id": tenant.account_id, "user_id": tenant.user_id}


def _to_groups(connection: Connection, tenant: Tenant, rows: Sequence[Row[Any]]) -> list[Group]:
    query = select(group_members).where(
        _owned(group_members, tenant), group_members.c.group_id.in_([row.id for row in rows])
    )
    members: dict[str, dict[int, Member]] = {}
    for row in connection.execute(query.order_by(group_members.c.position)):
        members.setdefault(row.group_id, {})[row.position] = Member(row.agent_id, row.conversation_id)
    return [
        Group(
            id=row.id,
            created_at=row.created_at,
            manager_type=row.manager_type,
            settings=row.settings,
            members=[member for position, member in members.get(row.id, {}).items() if position >= 0],
            manager=members.get(row.id, {}).get(-1),
        )
        for row in rows
    ]
