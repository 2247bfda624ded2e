"""python -m recall_service [serve|migrate|vacuum] [--supervised]"""

from __future__ import annotations

from recall_service.server import NAME, serve
from recall_service.stores import open_store
from servicekit.command import main

if __name__ == "__main__":
    main(NAME, "Recall memory: every message ever.", serve, dsn_variable="TRIPTYCH_RECALL_DSN", open_store=open_store)
