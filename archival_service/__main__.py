"""python -m archival_service [serve|migrate|reembed] [--supervised]"""

from __future__ import annotations

from archival_service.server import NAME, reembed, serve
from archival_service.store import open_store
from servicekit.command import main

if __name__ == "__main__":
    main(
        NAME,
        "Archival memory: facts and documents.",
        serve,
        dsn_variable="TRIPTYCH_ARCHIVAL_DSN",
        open_store=open_store,
        more=[("reembed", reembed)],
    )
