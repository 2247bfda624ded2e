"""`python altered_recall.py NAME=VALUE …`: recall_service with constants of its ranking changed, for ablations."""

from __future__ import annotations

import sys

from recall_service import ranking
from recall_service.server import NAME, serve
from recall_service.stores import open_store
from servicekit.command import main

if __name__ == "__main__":
    for change in sys.argv[1:]:
        name, _, value = change.partition("=")
        if not isinstance(getattr(ranking, name, None), float):
            sys.exit(f"{name} is no number of recall_service.ranking")
        setattr(ranking, name, float(value))
    del sys.argv[1:]
    main(NAME, "Recall with an altered ranking.", serve, dsn_variable="TRIPTYCH_RECALL_DSN", open_store=open_store)
