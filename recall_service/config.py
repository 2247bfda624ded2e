"""Settings of recall_service, read once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from embedders import EmbedderSettings
from servicekit.settings import Environment, Running


@dataclass(frozen=True)
class Settings:
    listen: str
    dsn: str
    gateway_key: Path
    agent_key: Path
    embedder: EmbedderSettings
    metrics_listen: str
    running: Running

    @classmethod
    def read(cls, env: Environment) -> Settings:
        """Raises: BadEnvironment naming the variable that is missing or wrong."""
        return cls(
            listen=env.listen("TRIPTYCH_RECALL_LISTEN"),
            dsn=env.text("TRIPTYCH_RECALL_DSN"),
            gateway_key=env.file("TRIPTYCH_GATEWAY_VERIFY_KEY_FILE"),
            agent_key=env.file("TRIPTYCH_AGENT_VERIFY_KEY_FILE"),
            embedder=EmbedderSettings.read(env.environ, "RECALL"),
            metrics_listen=env.optional_listen("TRIPTYCH_RECALL_METRICS_LISTEN"),
            running=Running.read(env),
        )
