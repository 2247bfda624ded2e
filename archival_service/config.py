"""Settings of archival_service, read once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from archival_service.qdrant_settings import QdrantSettings
from archival_service.reading import Limits
from embedders import EmbedderSettings
from servicekit.settings import Environment, Running

_MIB = 1024 * 1024


@dataclass(frozen=True)
class Settings:
    """`index`: the directory of the Qdrant Edge shard; `qdrant`: the server that stands in its place, if one does."""

    listen: str
    dsn: str
    index: Path
    qdrant: QdrantSettings | None
    gateway_key: Path
    agent_key: Path
    embedder: EmbedderSettings
    documents: Limits
    metrics_listen: str
    running: Running

    @classmethod
    def read(cls, env: Environment) -> Settings:
        """Raises: BadEnvironment naming the variable that is missing or wrong."""
        return cls(
            listen=env.listen("TRIPTYCH_ARCHIVAL_LISTEN"),
            dsn=env.text("TRIPTYCH_ARCHIVAL_DSN"),
            index=Path(env.text("TRIPTYCH_ARCHIVAL_INDEX")).expanduser(),
            qdrant=QdrantSettings.read(env),
            gateway_key=env.file("TRIPTYCH_GATEWAY_VERIFY_KEY_FILE"),
            agent_key=env.file("TRIPTYCH_AGENT_VERIFY_KEY_FILE"),
            embedder=EmbedderSettings.read(env.environ, "ARCHIVAL"),
            documents=Limits(
                document_bytes=int(env.number("TRIPTYCH_DOCUMENT_MAX_MB") * _MIB),
                read_seconds=env.integer("TRIPTYCH_DOCUMENT_READ_SECONDS"),
                read_bytes=int(env.number("TRIPTYCH_DOCUMENT_READ_MB") * _MIB),
            ),
            metrics_listen=env.optional_listen("TRIPTYCH_ARCHIVAL_METRICS_LISTEN"),
            running=Running.read(env),
        )
