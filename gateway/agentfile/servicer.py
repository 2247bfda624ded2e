"""Serves agent files by gRPC, in pieces: they can be larger than a message."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from gateway.agentfile.exporting import exported
from gateway.agentfile.importing import Importer, Wishes, parsed
from gateway.backends import Backends
from gateway.rest.catalogue import Catalogue
from gateway.store import Store
from gateway.stores.requests import Once
from servicekit import principal
from servicekit.rpc import Context
from triptych.errors import InvalidArgument, ResourceExhausted
from triptych.gateway.v1 import agent_file_pb2 as pb
from triptych.gateway.v1.agent_file_pb2_grpc import AgentFileServiceServicer

_PIECE_BYTES = 256 * 1024
_MOST_BYTES = 64 * 1024 * 1024


class AgentFileServicer(AgentFileServiceServicer):
    def __init__(self, store: Store, backends: Backends, catalogue: Catalogue) -> None:
        self._store, self._backends, self._catalogue = store, backends, catalogue

    async def ExportAgent(
        self, request: pb.ExportAgentRequest, context: Context
    ) -> AsyncIterator[pb.ExportAgentResponse]:
        known = await self._catalogue.load()
        content = await exported(self._backends, known, request.agent_id, with_messages=not request.without_messages)
        data = json.dumps(content, ensure_ascii=False, indent=2).encode()
        for start in range(0, len(data), _PIECE_BYTES):
            yield pb.ExportAgentResponse(data=data[start : start + _PIECE_BYTES])

    async def ImportAgents(
        self, requests: AsyncIterator[pb.ImportAgentsRequest], context: Context
    ) -> AsyncIterator[pb.ImportAgentsResponse]:
        header, content = await _received(requests)
        wishes = Wishes(
            name=header.name,
            copy_suffix=header.copy_suffix,
            model=header.model,
            embedding=header.embedding,
            override_tools=header.override_tools,
            strip_messages=header.without_messages,
        )
        once = Once(principal.tenant(), "ImportAgents", header.request_id, header.SerializeToString() + content)
        made = await self._store.read(once.answered)
        if made is not None:
            yield pb.ImportAgentsResponse.FromString(made)
            return
        importer = Importer(self._backends, await self._catalogue.load(), parsed(content), wishes)
        response = pb.ImportAgentsResponse(agent_ids=await importer.run(), missing_tools=importer.missing_tools)
        if not await self._store.write(lambda c: once.first(c, response), alone=once.tenant):
            await importer.take_back()  # the same was sent twice at the same time
            made = await self._store.read(once.answered)
            response = pb.ImportAgentsResponse.FromString(made or b"")
        yield response


async def _received(requests: AsyncIterator[pb.ImportAgentsRequest]) -> tuple[pb.AgentFileHeader, bytes]:
    """Raises: InvalidArgument without a header; ResourceExhausted for a file that is too large."""
    content = bytearray()
    first = await anext(requests, None)
    if first is None or not first.HasField("header"):
        raise InvalidArgument.of("header", "must come first")
    async for request in requests:
        content += request.chunk
        if len(content) > _MOST_BYTES:
            raise ResourceExhausted(f"an agent file is at most {_MOST_BYTES >> 20} MiB")
    return first.header, bytes(content)
