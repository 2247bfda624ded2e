"""Blocks: the core memory. Every write is a revision with its author; limits and read-only hold for everybody."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from google.protobuf.json_format import MessageToDict
from sqlalchemy import Connection, delete, func, insert, select, update

from agent_service import clock
from agent_service.stores import attached, identity_links, revisions
from agent_service.stores.attached import agents_with, rows_of_agents, to_block
from agent_service.stores.revisions import USER, Origin
from agent_service.stores.rows import Window, fetch, like, not_changed_here, owned, owner, readable
from agent_service.stores.tables import agent_blocks, block_attachments, block_revisions, blocks
from servicekit import ids, structs
from servicekit.principal import Tenant
from servicekit.sql import Prepared
from triptych.agent.v1.agent_pb2 import Block, ListBlocksRequest
from triptych.errors import Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from triptych.type.v1 import type_pb2

DEFAULT_LIMIT = 100_000
MAX_LIMIT = 1_000_000
MAX_LABEL = 200
MAX_DESCRIPTION = 10_000
MAX_TAGS = 100
_INSERT = Prepared(insert(blocks))
UPDATABLE = frozenset({"label", "value", "description", "limit", "read_only", "metadata", "tags"})

DEFAULT_DESCRIPTIONS = {
    "human": "What you know about the person you talk with: name, circumstances, tastes, plans. Add to it when you "
    "learn something that will matter again; correct it when it changes.",
    "persona": "Who you are and how you speak. Change it only when you are asked to be different.",
}


def create(
    connection: Connection, tenant: Tenant, block: Block, *, agent_id: str | None = None, origin: Origin = USER
) -> Block:
    """Makes a block; with `agent_id`, as that agent's own. Raises: InvalidArgument."""
    (made,) = create_all(connection, tenant, [block], agent_id=agent_id, origin=origin)
    return made


def create_all(
    connection: Connection,
    tenant: Tenant,
    wanted: Sequence[Block],
    *,
    agent_id: str | None = None,
    origin: Origin = USER,
) -> list[Block]:
    """The same for several. Raises: InvalidArgument."""
    rows = [_new_row(tenant, block, agent_id) for block in wanted]
    _INSERT.run(connection, *rows)
    made = [to_block(SimpleNamespace(**row), tenant) for row in rows]
    revisions.add(connection, tenant, made, origin)
    return made


def _new_row(tenant: Tenant, block: Block, agent_id: str | None) -> dict[str, Any]:
    """Raises: InvalidArgument."""
    check(block)
    at = clock.now()
    return {
        **owner(tenant),
        "id": ids.new("block"),
        "agent_id": agent_id,
        "label": block.label,
        "value": block.value,
        "description": block.description or DEFAULT_DESCRIPTIONS.get(block.label, ""),
        "character_limit": block.limit or DEFAULT_LIMIT,
        "read_only": block.read_only,
        "metadata": MessageToDict(block.metadata),
        "tags": list(block.tags),
        "revision": 1,
        "created_at": at,
        "updated_at": at,
    }


def check(block: Block) -> None:
    """Raises: InvalidArgument for a label, a description, a limit, tags, metadata or a value that can't be kept."""
    if not block.label or len(block.label) > MAX_LABEL or not block.label.isprintable():
        raise InvalidArgument.of("label", f"must be 1 to {MAX_LABEL} printable characters")
    if len(block.description) > MAX_DESCRIPTION or "\0" in block.description:
        raise InvalidArgument.of("description", f"must be at most {MAX_DESCRIPTION:,} characters, without NUL")
    if len(block.tags) > MAX_TAGS:
        raise InvalidArgument.of("tags", f"must be at most {MAX_TAGS}")
    if not 0 <= block.limit <= MAX_LIMIT:
        raise InvalidArgument.of("limit", f"must be 0 to {MAX_LIMIT} characters")
    structs.check("metadata", block.metadata)
    check_value(block.label, block.value, block.limit or DEFAULT_LIMIT)


def check_value(label: str, value: str, limit: int) -> None:
    """Raises: InvalidArgument BLOCK_OVER_LIMIT."""
    if len(value) > limit:
        raise InvalidArgument(
            f"value: {len(value):,} characters are more than the {limit:,} that block {label} may hold",
            reason=type_pb2.ERROR_REASON_BLOCK_OVER_LIMIT,
            metadata={"field": "value"},
        )
    if "\0" in value:
        raise InvalidArgument.of("value", "must not contain NUL characters")


def get(connection: Connection, tenant: Tenant, block_id: str) -> Block:
    """The user's, or one that its account shares. Raises: NotFound."""
    row = connection.execute(select(blocks).where(readable(blocks, tenant), blocks.c.id == block_id)).one_or_none()
    if row is None:
        raise NotFound("block", block_id)
    return to_block(row, tenant)


def check_own(connection: Connection, tenant: Tenant, block_id: str) -> None:
    """Raises: NotFound; PermissionDenied for one that the account shares with the user."""
    if attached.whose(connection, tenant, block_id) != tenant:
        raise not_changed_here("block")


def list_page(
    connection: Connection, tenant: Tenant, request: ListBlocksRequest, window: Window
) -> tuple[list[Block], str]:
    whose = tenant.account if request.shared else tenant
    query = select(blocks).where(
        owned(blocks, whose),
        *identity_links.having(blocks, tenant, request.identity_id, request.identifier_keys),
    )
    if request.label:
        query = query.where(blocks.c.label == request.label)
    if request.label_contains:
        query = query.where(blocks.c.label.like(like(request.label_contains), escape="\\"))
    if request.value_contains:
        query = query.where(blocks.c.value.like(like(request.value_contains), escape="\\"))
    rows, token = fetch(connection, query, blocks, whose, window)
    return [to_block(row, tenant) for row in rows], token


def count(connection: Connection, tenant: Tenant) -> int:
    return connection.execute(select(func.count()).select_from(blocks).where(owned(blocks, tenant))).scalar_one()


def change(
    connection: Connection, tenant: Tenant, wanted: Block, paths: Sequence[str], *, origin: Origin = USER
) -> Block:
    """An update of the fields in `paths`.

    Raises: NotFound; Aborted ETAG_MISMATCH; InvalidArgument; FailedPrecondition BLOCK_READ_ONLY for a new value of a
    block that is read-only and stays so.
    """
    check_own(connection, tenant, wanted.id)
    block = get(connection, tenant, wanted.id)
    if wanted.etag and wanted.etag != block.etag:
        raise Aborted("etag: the block has changed since; read it again", reason=type_pb2.ERROR_REASON_ETAG_MISMATCH)
    old_value, was_read_only = block.value, block.read_only
    for path in paths:
        if path not in UPDATABLE:
            raise InvalidArgument.of("update_mask", f"{path} can't be updated; it takes {', '.join(sorted(UPDATABLE))}")
        if path == "metadata":
            block.metadata.CopyFrom(wanted.metadata)
        elif path == "tags":
            block.tags[:] = wanted.tags
        else:
            setattr(block, path, getattr(wanted, path))
    if block.value != old_value and was_read_only and block.read_only:
        raise read_only_error(block.label)
    check(block)
    if "label" in paths:
        _check_label_is_free(connection, tenant, block)
    return _store(connection, tenant, block, origin)


def _check_label_is_free(connection: Connection, tenant: Tenant, block: Block) -> None:
    """Raises: AlreadyExists if an agent that has the block has another one of its new label."""
    if tenant.is_account and attached.is_with_users(connection, tenant, block.id):
        raise FailedPrecondition("users' agents know the block by its label: detach it, or make another one")
    for others in rows_of_agents(connection, tenant, agents_with(connection, tenant, block.id)).values():
        if any(other.label == block.label and other.id != block.id for other in others):
            raise AlreadyExists(f"an agent with this block already has one labelled {block.label}")


def write_value(connection: Connection, tenant: Tenant, block_id: str, value: str, *, origin: Origin) -> Block:
    """A new value. Raises: NotFound, InvalidArgument BLOCK_OVER_LIMIT, FailedPrecondition BLOCK_READ_ONLY."""
    block = get(connection, tenant, block_id)
    if block.read_only:
        raise read_only_error(block.label)
    check_value(block.label, value, block.limit)
    block.value = value
    return _store(connection, tenant, block, origin)


def read_only_error(label: str) -> FailedPrecondition:
    return FailedPrecondition(f"block {label} is read-only", reason=type_pb2.ERROR_REASON_BLOCK_READ_ONLY)


def remove(connection: Connection, tenant: Tenant, block_id: str) -> None:
    """Deletes a block with its history, and detaches it everywhere. Raises: NotFound, PermissionDenied."""
    check_own(connection, tenant, block_id)
    for table, column in (
        (agent_blocks, agent_blocks.c.block_id),
        (block_revisions, block_revisions.c.block_id),
        (block_attachments, block_attachments.c.block_id),
        (blocks, blocks.c.id),
    ):
        # One that the account shares stands in agents of all its users.
        whose = table.c.account_id == tenant.account_id if tenant.is_account else owned(table, tenant)
        connection.execute(delete(table).where(whose, column == block_id))
    identity_links.remove_of_resource(connection, tenant, block_id)


def _store(connection: Connection, tenant: Tenant, block: Block, origin: Origin) -> Block:
    """Writes the block as its next revision."""
    revision, at = int(block.etag) + 1, clock.now()
    connection.execute(
        update(blocks)
        .where(owned(blocks, tenant), blocks.c.id == block.id)
        .values(
            label=block.label,
            value=block.value,
            description=block.description,
            character_limit=block.limit or DEFAULT_LIMIT,
            read_only=block.read_only,
            metadata=MessageToDict(block.metadata),
            tags=list(block.tags),
            revision=revision,
            updated_at=at,
        )
    )
    block.limit = block.limit or DEFAULT_LIMIT
    block.etag = str(revision)
    block.update_time.CopyFrom(clock.timestamp(at))
    revisions.add(connection, tenant, [block], origin)
    return block
