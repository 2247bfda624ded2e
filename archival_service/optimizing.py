"""Builds an owner's shard and its graph: python -m archival_service.optimizing FOLDER DIMENSIONS

In a process of its own, since the engine holds Python's global lock for as long as it takes. It is given the passages
by its standard input: lists of entries, pickled, the last one empty.
"""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path
from typing import BinaryIO

from archival_service.stores.shard import Shard

_NICE = 10


def main(folder: Path, dimensions: int, given: BinaryIO) -> None:
    """Raises: EOFError if whoever gives the passages has gone before the last one."""
    os.nice(_NICE)
    shard = Shard.create(folder, dimensions, alone=True)
    while entries := pickle.load(given):  # our own process's
        shard.put(entries)
    shard.optimize()
    shard.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.stdin.buffer)
