"""Identities: whom agents and blocks are about or for, by the program's own keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from agent_service import clock
from agent_service.stores import agents, blocks, identity_links
from agent_service.stores.rows import Window, fetch, like, owned, owner
from agent_service.stores.tables import identities
from agent_service.stores.tables import identity_links as links
from servicekit import ids, structs
from servicekit.principal import Tenant
from triptych.agent.v1 import identity_pb2 as pb
from triptych.errors import AlreadyExists, InvalidArgument, NotFound

MAX_NAME = 500
MAX_RESOURCES = 1_000
UPDATABLE = frozenset({"identifier_key", "name", "type", "properties", "agent_ids", "block_ids"})


def create(connection: Connection, tenant: Tenant, wanted: pb.Identity) -> pb.Identity:
    """Raises: InvalidArgument; AlreadyExists for its key; NotFound for an agent or a block that it names."""
    _check(wanted)
    _check_key_is_free(connection, tenant, wanted.identifier_key)
    identity_id, at = ids.new("identity"), clock.now()
    row = {"id": identity_id, "created_at": at, "updated_at": at, **_columns(wanted)}
    connection.execute(insert(identities).values(**owner(tenant), **row))
    attach(connection, tenant, identity_id, agent_ids=wanted.agent_ids, block_ids=wanted.block_ids)
    return get(connection, tenant, identity_id)


def get(connection: Connection, tenant: Tenant, identity_id: str) -> pb.Identity:
    """Raises: NotFound."""
    query = select(identities).where(owned(identities, tenant), identities.c.id == identity_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("identity", identity_id)
    return _to_identity(row, identity_links.resources_of(connection, tenant, [identity_id]))


def list_page(
    connection: Connection, tenant: Tenant, request: pb.ListIdentitiesRequest, window: Window
) -> tuple[list[pb.Identity], str]:
    query = select(identities).where(owned(identities, tenant))
    if request.name_contains:
        query = query.where(identities.c.name.like(like(request.name_contains), escape="\\"))
    if request.identifier_key:
        query = query.where(identities.c.identifier_key == request.identifier_key)
    if request.type:
        query = query.where(identities.c.type == request.type)
    if request.identity_ids:
        query = query.where(identities.c.id.in_(request.identity_ids[:MAX_RESOURCES]))
    rows, token = fetch(connection, query, identities, tenant, window)
    resources = identity_links.resources_of(connection, tenant, [row.id for row in rows])
    return [_to_identity(row, resources) for row in rows], token


def count(connection: Connection, tenant: Tenant) -> int:
    return connection.execute(
        select(func.count()).select_from(identities).where(owned(identities, tenant))
    ).scalar_one()


def change(
    connection: Connection, tenant: Tenant, wanted: pb.Identity, paths: Sequence[str], *, merge: bool = False
) -> pb.Identity:
    """Sets the fields at `paths`. `merge`: adds properties, agents and blocks to those that are there.

    Raises: NotFound (the identity; an agent or a block), InvalidArgument, AlreadyExists for its new key.
    """
    identity = get(connection, tenant, wanted.id)
    old_key = identity.identifier_key
    for path in paths:
        if path not in UPDATABLE:
            raise InvalidArgument.of("update_mask", f"{path} can't be updated; it takes {', '.join(sorted(UPDATABLE))}")
        if path in ("identifier_key", "name", "type"):
            setattr(identity, path, getattr(wanted, path))
    if "properties" in paths:
        if not merge:
            identity.properties.Clear()
        identity.properties.MergeFrom(wanted.properties)
    _check(identity)
    if identity.identifier_key != old_key:
        _check_key_is_free(connection, tenant, identity.identifier_key)
    connection.execute(
        update(identities)
        .where(owned(identities, tenant), identities.c.id == identity.id)
        .values(updated_at=clock.now(), **_columns(identity))
    )
    for path, current in (("agent_ids", identity.agent_ids), ("block_ids", identity.block_ids)):
        if path in paths and not merge:
            identity_links.remove(connection, tenant, identity.id, current)
    attach(
        connection,
        tenant,
        identity.id,
        agent_ids=wanted.agent_ids if "agent_ids" in paths else (),
        block_ids=wanted.block_ids if "block_ids" in paths else (),
    )
    return get(connection, tenant, identity.id)


def upsert(connection: Connection, tenant: Tenant, wanted: pb.Identity, paths: Sequence[str]) -> pb.Identity:
    """Makes it, or changes what is at `paths` of the identity of that key. Raises: as `create` and `change`."""
    query = select(identities.c.id).where(
        owned(identities, tenant), identities.c.identifier_key == wanted.identifier_key
    )
    known = connection.execute(query).scalar_one_or_none()
    if known is None:
        return create(connection, tenant, wanted)
    changed = pb.Identity()
    changed.CopyFrom(wanted)
    changed.id = known
    return change(connection, tenant, changed, paths)


def attach(
    connection: Connection,
    tenant: Tenant,
    identity_id: str,
    *,
    agent_ids: Sequence[str] = (),
    block_ids: Sequence[str] = (),
) -> None:
    """Gives them the identity, which is there. Raises: NotFound (an agent, a block); InvalidArgument for too many."""
    if len(agent_ids) + len(block_ids) > MAX_RESOURCES:
        raise InvalidArgument.of("agent_ids", f"must be, with block_ids, at most {MAX_RESOURCES:,}")
    for agent_id in agent_ids:
        agents.get(connection, tenant, agent_id)
    for block_id in block_ids:
        blocks.get(connection, tenant, block_id)
    identity_links.add(connection, tenant, identity_id, [*agent_ids, *block_ids])


def detach(connection: Connection, tenant: Tenant, identity_id: str, resource_id: str) -> None:
    """Takes the identity from an agent or a block. Raises: NotFound (the identity; an agent or block without it)."""
    identity = get(connection, tenant, identity_id)
    if resource_id not in (*identity.agent_ids, *identity.block_ids):
        raise NotFound("block" if resource_id.startswith("block-") else "agent", resource_id)
    identity_links.remove(connection, tenant, identity_id, [resource_id])


def remove(connection: Connection, tenant: Tenant, identity_id: str) -> None:
    """What had it stays. Raises: NotFound."""
    get(connection, tenant, identity_id)
    connection.execute(delete(links).where(owned(links, tenant), links.c.identity_id == identity_id))
    connection.execute(delete(identities).where(owned(identities, tenant), identities.c.id == identity_id))


def _check(identity: pb.Identity) -> None:
    """Raises: InvalidArgument."""
    for field in ("identifier_key", "name"):
        value = getattr(identity, field)
        if not 1 <= len(value) <= MAX_NAME or not value.isprintable():
            raise InvalidArgument.of(field, f"must be 1 to {MAX_NAME} printable characters")
    if identity.type not in pb.IdentityType.values():
        raise InvalidArgument.of("type", "is none of the contract's")
    structs.check("properties", identity.properties)


def _check_key_is_free(connection: Connection, tenant: Tenant, key: str) -> None:
    """Raises: AlreadyExists."""
    taken = select(identities.c.id).where(owned(identities, tenant), identities.c.identifier_key == key)
    if connection.execute(taken).first():
        raise AlreadyExists(f"there is an identity with the identifier_key {key} already")


def _columns(identity: pb.Identity) -> dict[str, Any]:
    return {
        "identifier_key": identity.identifier_key,
        "name": identity.name,
        "type": identity.type or pb.IDENTITY_TYPE_USER,
        "properties": MessageToDict(identity.properties),
    }


def _to_identity(row: Row[Any], resources: dict[str, list[str]]) -> pb.Identity:
    its = resources.get(row.id, ())
    return pb.Identity(
        id=row.id,
        identifier_key=row.identifier_key,
        name=row.name,
        type=row.type,
        properties=ParseDict(row.properties, Struct()),
        agent_ids=[each for each in its if each.startswith("agent-")],
        block_ids=[each for each in its if each.startswith("block-")],
        create_time=clock.timestamp(row.created_at),
        update_time=clock.timestamp(row.updated_at),
    )
