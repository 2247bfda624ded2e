"""Which Qdrant server, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from servicekit.settings import Environment


@dataclass(frozen=True)
class QdrantSettings:
    """`prefix`: how our collections' names begin. `promoted`: owners (`account/user`) with shards of their own."""

    url: str
    prefix: str
    api_key: str = field(default="", repr=False)
    replication_factor: int = 1
    shards: int = 1
    promoted: tuple[str, ...] = ()

    @classmethod
    def read(cls, env: Environment) -> QdrantSettings | None:
        """None if no server is configured. Raises: BadEnvironment."""
        url = env.text("TRIPTYCH_ARCHIVAL_QDRANT_URL")
        if not url:
            return None
        promoted = env.text("TRIPTYCH_ARCHIVAL_QDRANT_PROMOTED").split(",")
        return cls(
            url=url,
            prefix=env.text("TRIPTYCH_ARCHIVAL_QDRANT_PREFIX"),
            api_key=env.text("TRIPTYCH_ARCHIVAL_QDRANT_API_KEY"),
            replication_factor=env.integer("TRIPTYCH_ARCHIVAL_QDRANT_REPLICAS"),
            shards=env.integer("TRIPTYCH_ARCHIVAL_QDRANT_SHARDS"),
            promoted=tuple(each.strip() for each in promoted if each.strip()),
        )
