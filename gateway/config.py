"""Settings of the gateway, read once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from servicekit.settings import Environment, Running


@dataclass(frozen=True)
class Settings:
    """`first_key`: a file with the first admin key, or None."""

    grpc_listen: str
    http_listen: str
    dsn: str
    agent_address: str
    recall_address: str
    archival_address: str
    signing_key: Path
    first_key: Path | None
    running: Running

    @classmethod
    def read(cls, env: Environment) -> Settings:
        """Raises: BadEnvironment naming the variable that is missing or wrong."""
        return cls(
            grpc_listen=env.listen("TRIPTYCH_GATEWAY_GRPC_LISTEN"),
            http_listen=env.listen("TRIPTYCH_GATEWAY_HTTP_LISTEN", sockets=False),
            dsn=env.text("TRIPTYCH_GATEWAY_DSN"),
            agent_address=env.text("TRIPTYCH_AGENT_ADDRESS"),
            recall_address=env.text("TRIPTYCH_RECALL_ADDRESS"),
            archival_address=env.text("TRIPTYCH_ARCHIVAL_ADDRESS"),
            signing_key=env.file("TRIPTYCH_GATEWAY_SIGNING_KEY_FILE"),
            first_key=env.file("TRIPTYCH_FIRST_KEY_FILE") if env.text("TRIPTYCH_FIRST_KEY_FILE") else None,
            running=Running.read(env),
        )
