"""What Prometheus is told of archival beside its calls: how far the index is behind the store."""

from __future__ import annotations

import time
from collections.abc import Mapping

from sqlalchemy import Connection

from archival_service.stores import awaiting, outbox, spans
from servicekit.metrics import Metrics
from servicekit.sql import Database

_WAITING = "triptych_outbox_waiting"
_OLDEST = "triptych_outbox_oldest_seconds"
_REBUILD = "triptych_index_rebuild_waiting"
_REEMBED = "triptych_reembedding_waiting"
_MEANINGS = {
    _WAITING: "Changes of passages that the index may not have on its disk, over all replicas.",
    _OLDEST: "How long the first of them has waited, in seconds; 0 if none waits.",
    _REBUILD: "Passages that an index which is built anew has yet to be told of; 0 when it is whole.",
    _REEMBED: "Passages whose vectors are still another embedder's.",
}


def _read(connection: Connection) -> Mapping[str, float]:
    since = outbox.oldest(connection)
    return {
        _WAITING: outbox.count(connection),
        _OLDEST: max(0.0, time.time() - since / 1e6) if since else 0.0,
        _REBUILD: spans.count(connection, spans.REBUILD),
        _REEMBED: awaiting.count(connection),
    }


def watch(metrics: Metrics, sql: Database) -> None:
    async def read() -> Mapping[str, float]:
        return await sql.read(_read)

    metrics.watch(_MEANINGS, read)
