"""What a block tool wants, done within the transaction that also writes the journal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from agent_service.stores import attaching, blocks
from agent_service.stores.revisions import Origin
from agent_service.tools import memory
from agent_service.tools.base import Change, Detach, Edit, Relabel, Say
from servicekit.principal import Tenant
from triptych.agent.v1.agent_pb2 import Block
from triptych.agent.v1.turn_pb2 import MemoryEdit


@dataclass(frozen=True)
class Author:
    """Whose edit it is. `key`: `turn/step/call`. `call_id`: the model's name of the call."""

    tenant: Tenant
    agent_id: str
    key: str
    call_id: str

    def origin(self, sources: tuple[str, ...] = ()) -> Origin:
        return Origin(self.key, self.agent_id, sources)


@dataclass(frozen=True)
class Applied:
    """What the model is told, and the edit if a block was written."""

    text: str
    edit: MemoryEdit | None = None


def apply(connection: Connection, author: Author, current: Sequence[Block], change: Change) -> Applied:
    """Raises: ToolError for a block that is not there; InvalidArgument, FailedPrecondition, AlreadyExists of blocks."""
    if isinstance(change, Say):
        return Applied(change.text)
    if isinstance(change, Edit):
        return _edit(connection, author, current, change)
    block = memory.find(current, change.label)
    if block.read_only:
        raise blocks.read_only_error(block.label)
    if isinstance(change, Detach):
        attaching.detach(connection, author.tenant, author.agent_id, block.id)
        return Applied(f"Block {block.label} is no longer in your memory.", _noted(author, block, block.value, ""))
    return _relabel(connection, author, block, change)


def _edit(connection: Connection, author: Author, current: Sequence[Block], change: Edit) -> Applied:
    tenant = author.tenant
    if change.create and all(block.label != change.label for block in current):
        empty = Block(label=change.label, description=change.description)
        old = blocks.create(connection, tenant, empty, agent_id=author.agent_id, origin=author.origin())
        attaching.attach(connection, tenant, author.agent_id, old.id)
    else:
        old = memory.find(current, change.label)
    new = blocks.write_value(connection, tenant, old.id, change.value, origin=author.origin(change.sources))
    return Applied(f"Block {new.label} now reads:\n{new.value}", _noted(author, new, old.value, new.value))


def _relabel(connection: Connection, author: Author, block: Block, change: Relabel) -> Applied:
    wanted = Block(id=block.id, label=change.new_label or "", description=change.description or "")
    fields = (("label", change.new_label), ("description", change.description))
    paths = [name for name, value in fields if value is not None]
    new = blocks.change(connection, author.tenant, wanted, paths, origin=author.origin())
    what = (
        f"Block {block.label} is now called {new.label}." if change.new_label else f"Block {block.label} is described."
    )
    return Applied(what, _noted(author, new, new.value, new.value))


def _noted(author: Author, block: Block, old: str, new: str) -> MemoryEdit:
    return MemoryEdit(tool_call_id=author.call_id, block_id=block.id, label=block.label, old_value=old, new_value=new)
