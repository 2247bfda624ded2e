"""The directories of shards that are one owner's alone. Each has a file that says whose it is, and is written last."""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from servicekit.principal import Tenant

_FOLDER = "own"
_MARK = "owner.json"


@dataclass(frozen=True)
class OwnShard:
    """`passages`: how many its graph was built of; `made`: when, in nanoseconds since 1970."""

    folder: Path
    tenant: Tenant
    passages: int
    made: int = field(default_factory=time.time_ns)


def new(index: Path) -> Path:
    """Where the next one can be built; until it is marked, it is nobody's."""
    return index / _FOLDER / str(uuid.uuid4())


def mark(own: OwnShard) -> None:
    """From here on it is the owner's, and an older one is not."""
    unfinished = own.folder / (_MARK + ".part")
    unfinished.write_text(json.dumps([*own.tenant, own.passages, own.made]))
    os.replace(unfinished, own.folder / _MARK)


def known(index: Path) -> list[OwnShard]:
    """One an owner; what was left over beside them is deleted."""
    folders = list((index / _FOLDER).glob("*"))
    marked = [own for folder in folders if (own := _read(folder)) is not None]
    newest = {own.tenant: own for own in sorted(marked, key=lambda own: own.made)}
    for folder in set(folders) - {own.folder for own in newest.values()}:
        # A process that builds one may outlive ours by a while, and still write.
        shutil.rmtree(folder, ignore_errors=True)
    return list(newest.values())


def _read(folder: Path) -> OwnShard | None:
    try:
        account_id, user_id, passages, made = json.loads((folder / _MARK).read_text())
    except (OSError, ValueError):
        return None
    return OwnShard(folder, Tenant(account_id, user_id), passages, made)


def remove_all(index: Path) -> None:
    shutil.rmtree(index / _FOLDER, ignore_errors=True)
