"""Taking edits of blocks back, without what was edited since."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection

from agent_service import comparing
from agent_service.stores import blocks, revisions
from agent_service.stores.revisions import Origin
from servicekit.principal import Tenant
from triptych.agent.v1.agent_pb2 import Block
from triptych.errors import FailedPrecondition


@dataclass(frozen=True)
class _Hunk:
    """Lines `start` to `end` of the edited text became `lines`."""

    start: int
    end: int
    lines: list[str]


def undo(connection: Connection, tenant: Tenant, block_id: str, revision: int) -> Block:
    """Takes back what a revision changed, as a new revision.

    Raises: NotFound, PermissionDenied; FailedPrecondition if it is the first, changed no text, or lines it changed were
    edited since; as `blocks.write_value`.
    """
    blocks.check_own(connection, tenant, block_id)
    if revision == 1:
        raise FailedPrecondition("revision 1 made the block, and can't be undone: delete the block instead")
    edited = revisions.get(connection, tenant, block_id, revision)
    before = revisions.get(connection, tenant, block_id, revision - 1)
    if edited.value == before.value:
        raise FailedPrecondition(f"revision {revision} did not change the block's value")
    current = blocks.get(connection, tenant, block_id)
    value = without(before.value, edited.value, current.value)
    if value is None:
        raise FailedPrecondition(
            f"revision {revision} can't be undone: a later edit has changed the same lines; undo that one first"
        )
    return blocks.write_value(connection, tenant, block_id, value, origin=Origin(undone_revision=revision))


def undo_turn(connection: Connection, tenant: Tenant, turn_id: str) -> list[Block]:
    """Takes back every edit of blocks that a turn made, newest first; gives the blocks that changed.

    Raises: FailedPrecondition if lines that it changed were edited since.
    """
    edited = revisions.of_turn(connection, tenant, turn_id)
    # Of an edit that left a block as it was there is nothing to take back.
    changed = [undo(connection, tenant, *each) for each in edited if revisions.changed(connection, tenant, *each)]
    return list({block.id: block for block in changed}.values())


def without(before: str, edited: str, current: str) -> str | None:
    """`current`, without the edit that made `edited` of `before`; None if the same lines were edited since.

    A merge of three texts by lines: edits that touch each other count as the same place.
    """
    lines = edited.split("\n")
    back = list(_hunks(lines, before.split("\n")))
    since = list(_hunks(lines, current.split("\n")))
    if any(one.start <= other.end and other.start <= one.end for one in back for other in since):
        return None
    merged, at = list[str](), 0
    for hunk in sorted([*back, *since], key=lambda each: each.start):
        merged += [*lines[at : hunk.start], *hunk.lines]
        at = hunk.end
    return "\n".join([*merged, *lines[at:]])


def _hunks(old: list[str], new: list[str]) -> Iterator[_Hunk]:
    for change in comparing.changes(old, new):
        yield _Hunk(change.start, change.end, new[change.new_start : change.new_end])
