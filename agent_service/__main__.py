"""python -m agent_service [serve|migrate|vacuum] [--supervised]"""

from __future__ import annotations

from agent_service.server import NAME, serve
from agent_service.store import open_store
from servicekit.command import main

if __name__ == "__main__":
    main(NAME, "Agents, core memory and turns.", serve, dsn_variable="TRIPTYCH_AGENT_DSN", open_store=open_store)
