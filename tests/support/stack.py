"""The real services in this process, on Unix sockets, with embedded stores in a test's directory."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import agent_service.server
import archival_service.server
import gateway.server
import recall_service.server
from servicekit.channel import Peer
from servicekit.settings import Environment
from tests.support.keys import signer
from triptych.cli.up import signing_keys


@dataclass(frozen=True)
class Stack:
    """`environ`: what the services were started with."""

    environ: dict[str, str]
    keys: Path

    def peer(self, service: str) -> Peer:
        """A connection such as the gateway has."""
        name = service.removesuffix("_service").upper()
        return Peer(service, self.environ[f"TRIPTYCH_{name}_ADDRESS"], signer(self.keys))


def environment(folder: Path, model_url: str = "") -> dict[str, str]:
    keys = folder / "keys"
    keys.mkdir(parents=True, exist_ok=True)
    sockets = Path(tempfile.mkdtemp(prefix="triptych-test-"))
    first_key = keys / "first_api_key"
    if not first_key.exists():
        first_key.write_text("trip_first-key-of-the-tests")
    gateway_key, gateway_public = signing_keys.ensure(keys, "gateway")
    agent_key, agent_public = signing_keys.ensure(keys, "agent_service")
    environ = {
        "TRIPTYCH_GATEWAY_SIGNING_KEY_FILE": str(gateway_key),
        "TRIPTYCH_GATEWAY_VERIFY_KEY_FILE": str(gateway_public),
        "TRIPTYCH_AGENT_SIGNING_KEY_FILE": str(agent_key),
        "TRIPTYCH_AGENT_VERIFY_KEY_FILE": str(agent_public),
        "TRIPTYCH_FIRST_KEY_FILE": str(first_key),
        "TRIPTYCH_ARCHIVAL_INDEX": str(folder / "archival-index"),
        "TRIPTYCH_MODEL_BASE_URL": model_url,
        "TRIPTYCH_MODEL_TIMEOUT_SECONDS": "20",
        "TRIPTYCH_GATEWAY_GRPC_LISTEN": f"unix:{sockets / 'gateway'}",
        "TRIPTYCH_GATEWAY_HTTP_LISTEN": "127.0.0.1:0",
        "TRIPTYCH_GATEWAY_DSN": f"sqlite:///{folder / 'gateway.db'}",
        "TRIPTYCH_DRAIN_SECONDS": "1",
    }
    for name in ("recall", "archival", "agent"):
        environ[f"TRIPTYCH_{name.upper()}_LISTEN"] = f"unix:{sockets / name}"
        environ[f"TRIPTYCH_{name.upper()}_ADDRESS"] = f"unix:{sockets / name}"
        environ[f"TRIPTYCH_{name.upper()}_DSN"] = f"sqlite:///{folder / name}.db"
    return environ


_SERVE = {
    "recall_service": recall_service.server.serve,
    "archival_service": archival_service.server.serve,
    "agent_service": agent_service.server.serve,
    "gateway": gateway.server.serve,
}


@asynccontextmanager
async def running(
    folder: Path, *services: str, model_url: str = "", more: Mapping[str, str] | None = None
) -> AsyncIterator[Stack]:
    """Starts the named services, and stops them in reverse order. `more`: settings in place of the usual ones."""
    environ = {**environment(folder, model_url), **(more or {})}
    async with AsyncExitStack() as stack:
        for service in services:
            await _SERVE[service](Environment(environ), stack)
        yield Stack(environ, folder / "keys")
