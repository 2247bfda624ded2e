"""python -m gateway [serve|migrate|vacuum] [--supervised]"""

from __future__ import annotations

from gateway.server import NAME, serve
from gateway.store import open_store
from servicekit.command import main

if __name__ == "__main__":
    main(NAME, "The door: keys, gRPC and REST.", serve, dsn_variable="TRIPTYCH_GATEWAY_DSN", open_store=open_store)
