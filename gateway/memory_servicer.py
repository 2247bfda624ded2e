"""Memory for programs that run agents of their own, over recall and archival."""

from __future__ import annotations

import asyncio
from typing import Any, Literal, NamedTuple

from gateway.backends import Backends
from servicekit import ids, principal
from servicekit.rpc import Context
from triptych import archives
from triptych.agent.v1 import agent_pb2
from triptych.archival.v1 import archival_pb2
from triptych.errors import InvalidArgument
from triptych.gateway.v1 import memory_pb2 as pb
from triptych.gateway.v1.memory_pb2_grpc import MemoryServiceServicer
from triptych.recall.v1 import recall_pb2

_NAME = "memory"
_LONGEST_NAME = 200


class Container(NamedTuple):
    """Where memory is kept: by an agent, who need not exist, with its archives, of which new ones get a name."""

    agent: agent_pb2.Agent
    archive_name: str

    def conversation(self, given: str) -> str:
        """Derived, so that a program can name conversations as it likes and never writes into an agent's window."""
        return ids.derived("conv", _NAME, *principal.tenant(), self.agent.id, given)


class MemoryServicer(MemoryServiceServicer):
    def __init__(self, backends: Backends) -> None:
        self._back = backends

    async def AddMemory(self, request: pb.AddMemoryRequest, context: Context | None) -> pb.AddMemoryResponse:
        """Raises: InvalidArgument, NotFound for the agent, FailedPrecondition if it has no archive for facts."""
        said = any(message.text or message.image_urls for message in request.messages)
        if not (said or request.facts):
            raise InvalidArgument.of("messages", "give messages, or facts, or both")
        _check_name(request.conversation_id)
        container = await self._container(request.agent_id)
        if request.facts:
            archives.saved_to(container.agent)  # before anything is kept
        response = pb.AddMemoryResponse()
        if said:
            response.messages.extend(await self._append(container, request))
        if request.facts:
            response.facts.extend(await self._insert(container, request))
        return response

    async def SearchMemory(self, request: pb.SearchMemoryRequest, context: Context | None) -> pb.SearchMemoryResponse:
        """Raises: InvalidArgument, NotFound for the agent."""
        _check_name(request.conversation_id)
        if request.conversation_id:
            container = await self._container(request.agent_id)
            within = {"conversation_id": container.conversation(request.conversation_id)}
            return pb.SearchMemoryResponse(messages=await self._said(request, within))
        mine = archives.searched((await self._container(request.agent_id)).agent) if request.agent_id else []
        messages, facts = await asyncio.gather(
            self._said(request, {"agent_id": request.agent_id}), self._known(request, mine)
        )
        return pb.SearchMemoryResponse(messages=messages, facts=facts)

    async def _container(self, agent_id: str) -> Container:
        """Raises: NotFound."""
        if not agent_id:
            own = principal.tenant()
            archive_ids = [ids.derived("archive", _NAME, *own)]
            return Container(agent_pb2.Agent(id=ids.derived("agent", _NAME, *own), archive_ids=archive_ids), _NAME)
        request = agent_pb2.GetAgentRequest(agent_id=agent_id)
        agent = (await self._back.agent_peer.unary(self._back.agents.GetAgent, request)).agent
        return Container(agent, f"{agent.name}'s archive")

    async def _append(self, container: Container, request: pb.AddMemoryRequest) -> list[recall_pb2.Message]:
        append = recall_pb2.AppendMessagesRequest(
            agent_id=container.agent.id,
            conversation_id=container.conversation(request.conversation_id),
            request_id=request.request_id,
            messages=[_only_said(message) for message in request.messages if message.text or message.image_urls],
        )
        stored = await self._back.recall_peer.unary(self._back.recall.AppendMessages, append)
        return list(stored.messages)

    async def _insert(self, container: Container, request: pb.AddMemoryRequest) -> list[archival_pb2.Passage]:
        insert = archival_pb2.InsertPassagesRequest(
            archive_id=archives.saved_to(container.agent),
            request_id=request.request_id,
            passages=[_only_known(fact) for fact in request.facts],
            create_archive_name=container.archive_name,
        )
        stored = await self._back.archival_peer.unary(self._back.archival.InsertPassages, insert)
        return list(stored.passages)

    async def _said(self, request: pb.SearchMemoryRequest, within: dict[str, Any]) -> list[recall_pb2.MessageHit]:
        search = recall_pb2.SearchMessagesRequest(
            query=request.query, mode=request.mode, limit=request.limit, **_times(request), **within
        )
        found = await self._back.recall_peer.unary(self._back.recall.SearchMessages, search)
        return list(found.hits)

    async def _known(self, request: pb.SearchMemoryRequest, archive_ids: list[str]) -> list[archival_pb2.PassageHit]:
        search = archival_pb2.SearchPassagesRequest(
            query=request.query, mode=request.mode, limit=request.limit, archive_ids=archive_ids, **_times(request)
        )
        found = await self._back.archival_peer.unary(self._back.archival.SearchPassages, search)
        return list(found.hits)


def _times(request: pb.SearchMemoryRequest) -> dict[str, Any]:
    names: tuple[Literal["start_time", "end_time"], ...] = ("start_time", "end_time")
    return {name: getattr(request, name) for name in names if request.HasField(name)}


def _only_said(given: recall_pb2.Message) -> recall_pb2.Message:
    """Without ids, so that they are derived from the request's."""
    said = recall_pb2.Message(
        role=given.role, text=given.text, name=given.name, otid=given.otid, image_urls=given.image_urls
    )
    if given.HasField("create_time"):
        said.create_time.CopyFrom(given.create_time)
    return said


def _only_known(given: archival_pb2.Passage) -> archival_pb2.Passage:
    known = archival_pb2.Passage(text=given.text, tags=given.tags, metadata=given.metadata)
    if given.HasField("create_time"):
        known.create_time.CopyFrom(given.create_time)
    return known


def _check_name(conversation_id: str) -> None:
    if len(conversation_id) > _LONGEST_NAME:
        raise InvalidArgument.of("conversation_id", f"must be at most {_LONGEST_NAME} characters")
