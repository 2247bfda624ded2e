# Generated from triptych/sdk/aio by scripts/generate_sync.py: change it there.
"""The client itself."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from triptych.sdk import connection
from triptych.sdk.sync.access import Accounts, Audit, Keys, Users
from triptych.sdk.sync.agents import Agents
from triptych.sdk.sync.archives import Archives
from triptych.sdk.sync.batches import Batches
from triptych.sdk.sync.blocks import Blocks
from triptych.sdk.sync.conversations import Conversations
from triptych.sdk.sync.documents import Documents
from triptych.sdk.sync.groups import Groups
from triptych.sdk.sync.identities import Identities
from triptych.sdk.sync.memory import Archival, Recall
from triptych.sdk.sync.models import Models
from triptych.sdk.sync.own_memory import Memory
from triptych.sdk.sync.providers import Providers
from triptych.sdk.sync.sharing import SharedAgents, Shares
from triptych.sdk.sync.steps import Steps
from triptych.sdk.sync.tags import Tags
from triptych.sdk.sync.tools import McpServers, Tools
from triptych.sdk.sync.transport import Transport
from triptych.sdk.sync.turns import Turns

DEFAULT_TIMEOUT_SECONDS = 30.0


class Triptych:
    """A client of a Triptych server.

    `address`: host:port of the gateway's gRPC; `https://host:port`, or `secure`, for TLS. `user`: with an application
    key, the user to act for; with an admin's too, `triptych.ACCOUNT` for the account itself.
    `timeout_seconds`: of a call that is not a stream. All methods raise `triptych.errors.TriptychError`s.

        with Triptych.from_env() as client:
            agent = client.agents.create("ann", blocks={"human": "Name: Ann."})
            reply = client.turns.send(agent.id, "Hello!")
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
        self._transport = Transport(address, api_key, user, secure, timeout_seconds)
        self.agents = Agents(self._transport)
        self.blocks = Blocks(self._transport)
        self.conversations = Conversations(self._transport)
        self.turns = Turns(self._transport)
        self.steps = Steps(self._transport)
        self.tools = Tools(self._transport)
        self.mcp_servers = McpServers(self._transport)
        self.models = Models(self._transport)
        self.providers = Providers(self._transport)
        self.shares = Shares(self._transport)
        self.shared_agents = SharedAgents(self._transport)
        self.recall = Recall(self._transport)
        self.archival = Archival(self._transport)
        self.archives = Archives(self._transport)
        self.documents = Documents(self._transport)
        self.identities = Identities(self._transport)
        self.groups = Groups(self._transport)
        self.batches = Batches(self._transport)
        self.tags = Tags(self._transport)
        self.memory = Memory(self._transport)
        self.users = Users(self._transport)
        self.keys = Keys(self._transport)
        self.accounts = Accounts(self._transport)
        self.audit = Audit(self._transport)

    @classmethod
    def from_env(cls, *, data: str | Path | None = None, user: str | None = None) -> Self:
        """By TRIPTYCH_ADDRESS, TRIPTYCH_API_KEY and TRIPTYCH_USER, else the `triptych up` of this machine.

        `data`: the directory of that `triptych up`. Raises: Unavailable, Unauthenticated; they say what to do.
        """
        address, api_key = connection.find(data=data)
        return cls(address, api_key, user=connection.user(user))

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
