"""All of a user's data as one zip archive of NDJSON files, made while it is sent: only a page of it is in memory."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import AsyncIterator
from dataclasses import asdict
from functools import partial
from typing import Any, cast

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from gateway.backends import Backends
from gateway.store import Store
from gateway.stores import batches, groups
from servicekit.principal import Principal
from triptych.agent.v1 import agent_pb2, identity_pb2, provider_pb2, sharing_pb2, step_pb2, turn_pb2
from triptych.archival.v1 import archival_pb2
from triptych.gateway.v1.gateway_pb2 import User
from triptych.recall.v1 import recall_pb2

_PAGE = 200
_PIECE_BYTES = 64 * 1024
Json = dict[str, Any]


class Exporter:
    def __init__(self, backends: Backends, store: Store) -> None:
        self._backends, self._store = backends, store

    async def pieces(self, caller: Principal, user: User) -> AsyncIterator[bytes]:
        """The archive, piece by piece: `user.json`, and a file `KIND.ndjson` for each kind.

        Raises: Unavailable and whatever else the tiers raise, in the middle of it too: an archive without its end is
        refused by every program that opens it.
        """
        buffer = _Buffer()
        # The mode `w` of a stream that can't be sought: sizes then stand behind each file.
        with zipfile.ZipFile(cast(Any, buffer), "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("user.json", _line(user))
            for kind, items in self._kinds(caller):
                with archive.open(zipfile.ZipInfo(f"{kind}.ndjson", _now()), "w", force_zip64=True) as file:
                    async for item in items:
                        file.write(_line(item))
                        if buffer.size >= _PIECE_BYTES:
                            yield buffer.taken()
        yield buffer.taken()

    def _kinds(self, caller: Principal) -> list[tuple[str, AsyncIterator[Message | Json]]]:
        back = self._backends
        core, recall, archival = back.agent_peer, back.recall_peer, back.archival_peer
        agents = agent_pb2.ListAgentsRequest(page_size=_PAGE)
        blocks = agent_pb2.ListBlocksRequest(page_size=_PAGE)
        tools = agent_pb2.ListToolsRequest(page_size=_PAGE)
        servers = agent_pb2.ListMcpServersRequest(page_size=_PAGE)
        providers = provider_pb2.ListProvidersRequest(page_size=_PAGE)
        identities = identity_pb2.ListIdentitiesRequest(page_size=_PAGE)
        turns = turn_pb2.ListTurnsRequest(page_size=_PAGE)
        steps = step_pb2.ListStepsRequest(page_size=_PAGE)
        messages = recall_pb2.ListMessagesRequest(page_size=_PAGE)
        archives = archival_pb2.ListArchivesRequest(page_size=_PAGE)
        documents = archival_pb2.ListDocumentsRequest(page_size=_PAGE)
        passages = archival_pb2.ListPassagesRequest(page_size=_PAGE)
        return [
            ("agents", _all(core, back.agents.ListAgents, agents, "agents", caller)),
            ("providers", _all(core, back.providers.ListProviders, providers, "providers", caller)),
            ("shared_messages", self._shared_messages(caller)),
            ("blocks", _all(core, back.agents.ListBlocks, blocks, "blocks", caller)),
            ("block_revisions", self._block_revisions(caller)),
            ("tools", _own(_all(core, back.agents.ListTools, tools, "tools", caller))),
            ("mcp_servers", _all(core, back.agents.ListMcpServers, servers, "servers", caller)),
            ("groups", self._groups(caller)),
            ("identities", _all(core, back.identities.ListIdentities, identities, "identities", caller)),
            ("conversations", self._conversations(caller)),
            ("turns", _all(core, back.turns.ListTurns, turns, "turns", caller)),
            ("steps", _all(core, back.steps.ListSteps, steps, "steps", caller)),
            ("batches", self._batches(caller)),
            ("messages", _all(recall, back.recall.ListMessages, messages, "messages", caller)),
            ("archives", _all(archival, back.archival.ListArchives, archives, "archives", caller)),
            ("documents", _all(archival, back.archival.ListDocuments, documents, "documents", caller)),
            ("passages", _all(archival, back.archival.ListPassages, passages, "passages", caller)),
        ]

    async def _shared_messages(self, caller: Principal) -> AsyncIterator[Message]:
        """What was said with agents that others share with the user."""
        back = self._backends
        listed = await back.agent_peer.unary(
            back.sharing.ListSharedAgents, sharing_pb2.ListSharedAgentsRequest(), caller=caller
        )
        for agent in listed.agents:
            wanted = sharing_pb2.ListSharedMessagesRequest(agent_id=agent.agent_id, page_size=_PAGE)
            async for each in _all(back.agent_peer, back.sharing.ListSharedMessages, wanted, "messages", caller):
                yield each

    async def _block_revisions(self, caller: Principal) -> AsyncIterator[Json]:
        """What blocks read before, each revision with its block's id."""
        back = self._backends
        request = agent_pb2.ListBlocksRequest(page_size=_PAGE)
        async for block in _all(back.agent_peer, back.agents.ListBlocks, request, "blocks", caller):
            block_id = cast(Any, block).id
            wanted = agent_pb2.ListBlockRevisionsRequest(block_id=block_id, page_size=_PAGE)
            async for each in _all(back.agent_peer, back.agents.ListBlockRevisions, wanted, "revisions", caller):
                yield {"block_id": block_id, **_json(each)}

    async def _groups(self, caller: Principal) -> AsyncIterator[Json]:
        for group in await self._store.read(lambda c: groups.all_of(c, caller.tenant)):
            yield asdict(group)

    async def _batches(self, caller: Principal) -> AsyncIterator[Json]:
        """Each with its turns, and with what is asked in those that have not begun."""
        tenant, last = caller.tenant, ""
        listed = partial(batches.list_next, tenant=tenant, size=_PAGE, before_id="", descending=False)
        while page := await self._store.read(partial(listed, after_id=last)):
            for batch in page:
                items = await self._store.read(partial(batches.items, tenant=tenant, batch_id=batch.id))
                times = {"created_at": batch.created_at, "ended_at": batch.ended_at}
                yield {"id": batch.id, **times, "cancelled": batch.cancelled, "turns": [_item(each) for each in items]}
            last = page[-1].id

    async def _conversations(self, caller: Principal) -> AsyncIterator[Message]:
        back = self._backends
        request = agent_pb2.ListAgentsRequest(page_size=_PAGE)
        async for agent in _all(back.agent_peer, back.agents.ListAgents, request, "agents", caller):
            wanted = agent_pb2.ListConversationsRequest(agent_id=cast(Any, agent).id, page_size=_PAGE)
            async for each in _all(back.agent_peer, back.agents.ListConversations, wanted, "conversations", caller):
                yield each


async def _all(peer: Any, method: Any, request: Any, field: str, caller: Principal) -> AsyncIterator[Message]:
    """Every item of all pages of a list."""
    while True:
        response = await peer.unary(method, request, caller=caller)
        for item in getattr(response, field):
            yield item
        request.page_token = response.next_page_token
        if not request.page_token:
            return


async def _own(tools: AsyncIterator[Message]) -> AsyncIterator[Message]:
    """Without those that every user has."""
    async for tool in tools:
        if cast(agent_pb2.Tool, tool).tool_type != agent_pb2.TOOL_TYPE_BUILTIN:
            yield tool


def _item(item: batches.Item) -> Json:
    asked = {"asked": _json(item.start)} if item.start is not None else {}
    return {"agent_id": item.agent_id, "turn_id": item.turn_id, "state": item.state.name, **asked}


def _line(item: Message | Json) -> bytes:
    return json.dumps(_json(item) if isinstance(item, Message) else item, ensure_ascii=False).encode() + b"\n"


def _json(message: Message) -> Json:
    return MessageToDict(message, preserving_proto_field_name=True)


def _now() -> tuple[int, int, int, int, int, int]:
    """As zip archives have times: local ones."""
    return time.localtime()[:6]


class _Buffer:
    """What a zip file writes to, and is taken from."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.size = 0

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """There is nothing below that could hold anything back."""

    def taken(self) -> bytes:
        joined = b"".join(self._parts)
        self._parts, self.size = [], 0
        return joined
