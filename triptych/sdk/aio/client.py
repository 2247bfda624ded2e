"""The client itself."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from triptych.sdk import connection
from triptych.sdk.aio.access import AsyncAccounts, AsyncAudit, AsyncKeys, AsyncUsers
from triptych.sdk.aio.agents import AsyncAgents
from triptych.sdk.aio.archives import AsyncArchives
from triptych.sdk.aio.batches import AsyncBatches
from triptych.sdk.aio.blocks import AsyncBlocks
from triptych.sdk.aio.conversations import AsyncConversations
from triptych.sdk.aio.documents import AsyncDocuments
from triptych.sdk.aio.groups import AsyncGroups
from triptych.sdk.aio.identities import AsyncIdentities
from triptych.sdk.aio.memory import AsyncArchival, AsyncRecall
from triptych.sdk.aio.models import AsyncModels
from triptych.sdk.aio.own_memory import AsyncMemory
from triptych.sdk.aio.providers import AsyncProviders
from triptych.sdk.aio.sharing import AsyncSharedAgents, AsyncShares
from triptych.sdk.aio.steps import AsyncSteps
from triptych.sdk.aio.tags import AsyncTags
from triptych.sdk.aio.tools import AsyncMcpServers, AsyncTools
from triptych.sdk.aio.transport import AsyncTransport
from triptych.sdk.aio.turns import AsyncTurns

DEFAULT_TIMEOUT_SECONDS = 30.0


class AsyncTriptych:
    """A client of a Triptych server.

    `address`: host:port of the gateway's gRPC; `https://host:port`, or `secure`, for TLS. `user`: with an application
    key, the user to act for; with an admin's too, `triptych.ACCOUNT` for the account itself.
    `timeout_seconds`: of a call that is not a stream. All methods raise `triptych.errors.TriptychError`s.

        async with AsyncTriptych.from_env() as client:
            agent = await client.agents.create("ann", blocks={"human": "Name: Ann."})
            reply = await client.turns.send(agent.id, "Hello!")
            print(reply.text)
    """

    def __init__(
        self,
        address: str,
        api_key: str,
        *,
        user: str | None = None,
        secure: bool = False,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> None:
        self._transport = AsyncTransport(address, api_key, user, secure, timeout_seconds)
        self.agents = AsyncAgents(self._transport)
        self.blocks = AsyncBlocks(self._transport)
        self.conversations = AsyncConversations(self._transport)
        self.turns = AsyncTurns(self._transport)
        self.steps = AsyncSteps(self._transport)
        self.tools = AsyncTools(self._transport)
        self.mcp_servers = AsyncMcpServers(self._transport)
        self.models = AsyncModels(self._transport)
        self.providers = AsyncProviders(self._transport)
        self.shares = AsyncShares(self._transport)
        self.shared_agents = AsyncSharedAgents(self._transport)
        self.recall = AsyncRecall(self._transport)
        self.archival = AsyncArchival(self._transport)
        self.archives = AsyncArchives(self._transport)
        self.documents = AsyncDocuments(self._transport)
        self.identities = AsyncIdentities(self._transport)
        self.groups = AsyncGroups(self._transport)
        self.batches = AsyncBatches(self._transport)
        self.tags = AsyncTags(self._transport)
        self.memory = AsyncMemory(self._transport)
        self.users = AsyncUsers(self._transport)
        self.keys = AsyncKeys(self._transport)
        self.accounts = AsyncAccounts(self._transport)
        self.audit = AsyncAudit(self._transport)

    @classmethod
    def from_env(cls, *, data: str | Path | None = None, user: str | None = None) -> Self:
        """By TRIPTYCH_ADDRESS, TRIPTYCH_API_KEY and TRIPTYCH_USER, else the `triptych up` of this machine.

        `data`: the directory of that `triptych up`. Raises: Unavailable, Unauthenticated; they say what to do.
        """
        address, api_key = connection.find(data=data)
        return cls(address, api_key, user=connection.user(user))

    async def close(self) -> None:
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
