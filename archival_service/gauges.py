"""What Prometheus is told of archival beside its calls: how far the index is behind the store."""

from __future__ import annotations

import time
from collections.abc import Mapping

from archival_service.stores import outbox
from servicekit.metrics import Metrics
from servicekit.sql import Database

_WAITING = "triptych_outbox_waiting"
_OLDEST = "triptych_outbox_oldest_seconds"
_MEANINGS = {
    _WAITING: "Changes of passages that the index may not have on its disk, over all replicas.",
    _OLDEST: "How long the first of them has waited, in seconds; 0 if none waits.",
}


def watch(metrics: Metrics, sql: Database) -> None:
    async def read() -> Mapping[str, float]:
        waiting, since = await sql.read(lambda c: (outbox.count(c), outbox.oldest(c)))
        return {_WAITING: waiting, _OLDEST: max(0.0, time.time() - since / 1e6) if since else 0.0}

    metrics.watch(_MEANINGS, read)
