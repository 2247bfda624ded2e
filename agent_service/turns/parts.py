"""What running a turn takes, made once at start."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent_service.config import Limits
from agent_service.context.budget import Budget
from agent_service.context.calibration import Calibration
from agent_service.context.prompt import Compiler
from agent_service.context.window import WindowCache
from agent_service.models.prices import Prices
from agent_service.models.router import ModelRouter
from agent_service.replicas.forwarding import Forwarder
from agent_service.store import Store
from agent_service.tiers import Tiers
from agent_service.tools.outside import Outside
from agent_service.turns.texts import KnownTexts
from agent_service.turns.waits import Waits
from servicekit.metering import Meter
from servicekit.principal import Tenant
from triptych.agent.v1.agent_pb2 import Agent


@dataclass(frozen=True)
class Parts:
    """`process_id`: this process as the owner of leases."""

    process_id: str
    store: Store
    tiers: Tiers
    model: ModelRouter
    windows: WindowCache
    outside: Outside
    meter: Meter
    forwarder: Forwarder
    limits: Limits
    prices: Prices = field(default_factory=Prices)
    calibration: Calibration = field(default_factory=Calibration)
    compiler: Compiler = field(default_factory=Compiler)
    texts: KnownTexts = field(default_factory=KnownTexts)
    waits: Waits = field(default_factory=Waits)

    def budget(self, tenant: Tenant, agent: Agent) -> Budget:
        """How the agent's window is shared out, by what is known of its model now."""
        handle = agent.model.handle
        window = self.calibration.window(
            tenant, handle, agent.model.context_window or self.model.context_window(handle)
        )
        return Budget.of(agent, window, self.calibration.ratio(tenant, handle))
