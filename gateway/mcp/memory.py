"""What the tools do, over the same services and within the same walls as everything else."""

from __future__ import annotations

import uuid
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from gateway.backends import Backends
from gateway.mcp.arguments import (
    ArchivalInsert,
    ArchivalSearch,
    Arguments,
    ConversationSearch,
    ListAgents,
    ReadBlocks,
)
from gateway.mcp.edits import Edit, edited
from gateway.rest import forms
from gateway.rest.openai.models import agent_of
from triptych import archives
from triptych.agent.v1 import agent_pb2
from triptych.archival.v1 import archival_pb2
from triptych.errors import Aborted, InvalidArgument, NotFound
from triptych.recall.v1 import recall_pb2
from triptych.type.v1 import type_pb2

Json = dict[str, Any]
_TRIES = 10


class AgentMemory:
    """`agent`: whose memory it is where the arguments don't say, by id or name; "": nobody's."""

    def __init__(self, backends: Backends, agent: str) -> None:
        self._back, self._agent_named = backends, agent

    async def list_agents(self, _given: ListAgents) -> Json:
        request = agent_pb2.ListAgentsRequest(page_size=1000)
        found = await self._back.agent_peer.unary(self._back.agents.ListAgents, request)
        return {"agents": [{"id": agent.id, "name": agent.name} for agent in found.agents]}

    async def conversation_search(self, given: ConversationSearch) -> Json:
        agent = await self._agent(given)
        request = recall_pb2.SearchMessagesRequest(
            query=given.query,
            agent_id=agent.id,
            roles=[type_pb2.Role.Value(f"ROLE_{role.upper()}") for role in given.roles],
            limit=given.limit,
        )
        found = await self._back.recall_peer.unary(self._back.recall.SearchMessages, request)
        return {"messages": [_said(hit.message) for hit in found.hits]}

    async def archival_memory_insert(self, given: ArchivalInsert) -> Json:
        agent = await self._agent(given)
        request = archival_pb2.InsertPassagesRequest(
            archive_id=archives.saved_to(agent),
            request_id=str(uuid.uuid4()),
            passages=[archival_pb2.Passage(text=given.content, tags=given.tags)],
            create_archive_name=f"{agent.name}'s archive",
        )
        stored = await self._back.archival_peer.unary(self._back.archival.InsertPassages, request)
        return {"id": stored.passages[0].id}

    async def archival_memory_search(self, given: ArchivalSearch) -> Json:
        agent = await self._agent(given)
        request = archival_pb2.SearchPassagesRequest(
            query=given.query, archive_ids=archives.searched(agent), tags=given.tags, limit=given.limit
        )
        found = await self._back.archival_peer.unary(self._back.archival.SearchPassages, request)
        return {"passages": [_known(hit.passage) for hit in found.hits]}

    async def memory_read(self, given: ReadBlocks) -> Json:
        agent = await self._agent(given)
        blocks = [_labelled(agent, given.label)] if given.label else agent.blocks
        return {"blocks": [_block(block) for block in blocks]}

    async def edit(self, given: Edit) -> Json:
        """Writes over the very version that was read; reads it again if somebody else was quicker."""
        for tries_left in reversed(range(_TRIES)):
            block = _labelled(await self._agent(given), given.label)
            wanted = agent_pb2.Block(id=block.id, value=edited(block.value, given), etag=block.etag)
            request = agent_pb2.UpdateBlockRequest(block=wanted, update_mask=FieldMask(paths=["value"]))
            try:
                written = await self._back.agent_peer.unary(self._back.agents.UpdateBlock, request)
            except Aborted:
                if not tries_left:
                    raise
            else:
                return _block(written.block)
        raise AssertionError("the last try returns or raises")

    async def _agent(self, given: Arguments) -> agent_pb2.Agent:
        """Raises: NotFound, InvalidArgument if nobody is named, or another than the URL names."""
        if given.agent and self._agent_named and given.agent != self._agent_named:
            raise InvalidArgument.of("agent", "is another than the one in the URL")
        named = given.agent or self._agent_named
        if not named:
            raise InvalidArgument.of("agent", "must be given: an agent's id or name")
        request = agent_pb2.GetAgentRequest(agent_id=await agent_of(self._back, named))
        return (await self._back.agent_peer.unary(self._back.agents.GetAgent, request)).agent


def _labelled(agent: agent_pb2.Agent, label: str) -> agent_pb2.Block:
    """Raises: NotFound."""
    for block in agent.blocks:
        if block.label == label:
            return block
    raise NotFound(f"Block with label {label[:200]} not found")


def _block(block: agent_pb2.Block) -> Json:
    return {
        "label": block.label,
        "value": block.value,
        "description": block.description,
        "limit": block.limit,
        "read_only": block.read_only,
    }


def _said(message: recall_pb2.Message) -> Json:
    role = type_pb2.Role.Name(message.role).removeprefix("ROLE_").lower()
    return {"role": role, "content": message.text, "time": forms.time(message.create_time)}


def _known(passage: archival_pb2.Passage) -> Json:
    return {
        "id": passage.id,
        "content": passage.text,
        "tags": list(passage.tags),
        "time": forms.time(passage.create_time),
        "file": passage.source.file_name or None,
    }
