"""What running a turn takes, made once at start."""

from __future__ import annotations

from dataclasses import dataclass

from agent_service.context.window import WindowCache
from agent_service.models.client import ModelClient
from agent_service.store import Store
from agent_service.tiers import Tiers
from servicekit.metering import Meter


@dataclass(frozen=True)
class Parts:
    """`process_id`: this process as the owner of leases. `context_window`: tokens, for models with no known window."""

    process_id: str
    store: Store
    tiers: Tiers
    model: ModelClient
    windows: WindowCache
    context_window: int
    meter: Meter
