"""Builds a shard's graph: python -m archival_service.optimizing FOLDER DIMENSIONS

In a process of its own, since the engine holds Python's global lock for as long as it takes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from archival_service.stores.shard import Shard

_NICE = 10


def main(folder: Path, dimensions: int) -> None:
    os.nice(_NICE)
    shard = Shard.load(folder, dimensions, alone=True)
    shard.optimize()
    shard.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
