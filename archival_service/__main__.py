"""python -m archival_service [serve|migrate|migrate-index|reembed|vacuum] [--supervised]"""

from __future__ import annotations

from archival_service.opening import open_sql
from archival_service.server import NAME, migrate_index, reembed, serve, vacuum
from servicekit.command import main

if __name__ == "__main__":
    main(
        NAME,
        "Archival memory: facts and documents.",
        serve,
        dsn_variable="TRIPTYCH_ARCHIVAL_DSN",
        open_store=open_sql,
        more=[("reembed", reembed), ("vacuum", vacuum), ("migrate-index", migrate_index)],
    )
