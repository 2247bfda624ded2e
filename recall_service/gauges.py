"""What Prometheus is told of recall beside its calls: how far embedding is behind."""

from __future__ import annotations

import time
from collections.abc import Mapping

from recall_service.store import RecallStore
from servicekit.metrics import Metrics

_WAITING = "triptych_outbox_waiting"
_OLDEST = "triptych_outbox_oldest_seconds"
_MEANINGS = {
    _WAITING: "Messages that wait to be embedded, over all replicas.",
    _OLDEST: "How long the first of them has waited, in seconds; 0 if none waits.",
}


def watch(metrics: Metrics, store: RecallStore) -> None:
    async def read() -> Mapping[str, float]:
        lag = await store.lag()
        return {_WAITING: lag.waiting, _OLDEST: lag.seconds(time.time())}

    metrics.watch(_MEANINGS, read)
