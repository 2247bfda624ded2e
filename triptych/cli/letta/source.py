"""What there is on a Letta server, read with `letta-client`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import letta_client
from letta_client.types import AgentState, Archive, BlockResponse, Conversation, Passage, Tool
from letta_client.types.agents import Message

from triptych.cli.errors import CommandError

T = TypeVar("T")
WithId = TypeVar("WithId", Conversation, Passage)
# How servers of other versions say that they don't have an endpoint.
_ABSENT = (404, 405, 501)
# How many conversations are listed at a time.
_CONVERSATIONS = 100


class Source:
    """A Letta server. `page_size`: how many messages or passages are read at a time.

    What can't be read raises CommandError; an endpoint that the server does not have has nothing.
    """

    def __init__(self, url: str, api_key: str, page_size: int) -> None:
        self._url, self._page_size = url, page_size
        # letta-client wants a key; a server without keys ignores it.
        self._client = letta_client.Letta(base_url=url, api_key=api_key or "none")

    def close(self) -> None:
        self._client.close()

    def agents(self) -> Iterator[AgentState]:
        """Oldest first. The first of all calls: what it raises says that there is no such server, or no such key."""
        # Listed agents may lack these unless they are asked for.
        return self._all(
            lambda: self._client.agents.list(
                order="asc", limit=50, include=["agent.blocks", "agent.tags", "agent.tools"]
            )
        )

    def blocks(self) -> Iterator[BlockResponse]:
        return self._all(lambda: self._client.blocks.list(order="asc", limit=50))

    def tools(self) -> Iterator[Tool]:
        return self._all(lambda: self._client.tools.list(limit=100))

    def archives(self, agent_id: str) -> list[Archive]:
        """Those that the agent has."""
        return self._optional(lambda: self._client.archives.list(agent_id=agent_id, order="asc", limit=50))

    def conversations(self, agent_id: str) -> list[Conversation]:
        """Oldest first."""
        listed = partial(self._client.conversations.list, agent_id=agent_id, order="asc", limit=_CONVERSATIONS)
        return self._optional(lambda: list(_pages(lambda after: listed(after=after))))

    def messages(self, agent_id: str) -> Iterator[Message]:
        """In the order in which they were said; of no conversation that was made."""
        # Without `default` newer servers list those of all conversations; older ones have no others, and don't read it.
        listed = self._client.agents.messages.list
        return self._all(lambda: listed(agent_id, conversation_id="default", order="asc", limit=self._page_size))

    def messages_of_conversation(self, conversation_id: str) -> Iterator[Message]:
        return self._all(
            lambda: self._client.conversations.messages.list(conversation_id, order="asc", limit=self._page_size)
        )

    def passages(self, agent_id: str) -> Iterator[Passage]:
        """Of all the agent's archives, oldest first."""
        listed = partial(self._client.agents.passages.list, agent_id, ascending=True, limit=self._page_size)
        return _pages(lambda after: self._call(lambda: listed(after=after)))

    def not_brought(self) -> dict[str, int]:
        """How many there are of what an import leaves there."""
        folders = self._optional(self._client.folders.list)
        files = [len(self._optional(partial(self._client.folders.files.list, folder.id))) for folder in folders]
        return {
            "file": sum(files),
            "identity": self._counted("/v1/identities/count"),
            "group": self._counted("/v1/groups/count"),
            "MCP server": len(self._optional(self._client.mcp_servers.list)),
        }

    def _counted(self, path: str) -> int:
        """What an endpoint counts for which letta-client has no method; 0 if the server does not have it."""
        (count,) = self._optional(lambda: [self._client.get(path, cast_to=int)]) or [0]
        return count

    def _all(self, listed: Callable[[], Iterable[T]]) -> Iterator[T]:
        """The items of all pages."""
        items = iter(self._call(listed))
        while True:
            item = self._call(lambda: next(items, None))
            if item is None:
                return
            yield item

    def _optional(self, listed: Callable[[], Iterable[T]]) -> list[T]:
        """All items; none if the server does not have the endpoint."""
        try:
            return list(listed())
        except letta_client.APIStatusError as error:
            if error.status_code in _ABSENT:
                return []
            raise self._problem(error) from error
        except letta_client.LettaError as error:
            raise self._problem(error) from error

    def _call(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except letta_client.LettaError as error:
            raise self._problem(error) from error

    def _problem(self, error: letta_client.LettaError) -> CommandError:
        if isinstance(error, (letta_client.AuthenticationError, letta_client.PermissionDeniedError)):
            return CommandError(f"{self._url} does not accept the key: give one by --letta-api-key or LETTA_API_KEY")
        if isinstance(error, letta_client.APIStatusError):
            return CommandError(f"{self._url} answered {error.status_code} to {error.request.url.path}")
        if isinstance(error, letta_client.APIConnectionError):
            return CommandError(f"no Letta server answers at {self._url}")
        return CommandError(f"what {self._url} answered could not be read: {type(error).__name__}")


def _pages(page: Callable[[str | letta_client.Omit], Sequence[WithId]]) -> Iterator[WithId]:
    """The items of all pages of a list for which letta-client has no iterator. `page`: those after an id."""
    after: str | letta_client.Omit = letta_client.omit
    while found := page(after):
        yield from found
        if (last := found[-1].id) is None:  # of passages the type says that it can be: then nothing can be asked for
            return
        after = last
