"""How much of a user is stored, as the tiers have it."""

from __future__ import annotations

import asyncio

from gateway.backends import Backends
from servicekit.principal import Principal, Tenant
from triptych.agent.v1 import upkeep_pb2
from triptych.archival.v1 import archival_pb2
from triptych.recall.v1 import recall_pb2

_SECONDS = 10.0


class StoredBytes:
    def __init__(self, backends: Backends) -> None:
        self._back = backends

    async def count(self, tenant: Tenant) -> int:
        """Bytes in all three tiers. Each reads all that the user has. Raises: Unavailable and what else they raise."""
        back, caller = self._back, Principal(tenant)
        core, recall, archival = await asyncio.gather(
            back.agent_peer.unary(
                back.upkeep.CountStoredBytes,
                upkeep_pb2.CountStoredBytesRequest(),
                caller=caller,
                seconds=_SECONDS,
            ),
            back.recall_peer.unary(
                back.recall.CountMessages,
                recall_pb2.CountMessagesRequest(measure=True),
                caller=caller,
                seconds=_SECONDS,
            ),
            back.archival_peer.unary(
                back.archival.CountPassages,
                archival_pb2.CountPassagesRequest(measure=True),
                caller=caller,
                seconds=_SECONDS,
            ),
        )
        return core.stored_bytes + recall.stored_bytes + archival.stored_bytes
