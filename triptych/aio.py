"""The asynchronous client."""

from __future__ import annotations

from triptych.sdk.aio import client
from triptych.sdk.reply import Reply, TurnFailed
from triptych.sdk.session import AsyncSession

__all__ = ["AsyncSession", "AsyncTriptych", "Reply", "TurnFailed"]


class AsyncTriptych(client.AsyncTriptych):
    __doc__ = client.AsyncTriptych.__doc__

    def session(self, *, window: int = 64) -> AsyncSession:
        """Many agents' turns over one stream: see AsyncSession.

        async with client.session() as session:
            reply = await session.send(agent.id, "Good morning!")
        """
        return AsyncSession(self._transport, window=window)
