"""An agent file as new agents. One that can't be brought in whole leaves nothing behind."""

from __future__ import annotations

import json
import uuid
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeVar

import orjson
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from pydantic import ValidationError

from gateway.agentfile import messages, schema
from gateway.backends import Backends
from gateway.rest import tool_rules
from gateway.rest.catalogue import Catalogue
from gateway.rest.common import moment
from triptych.agent.v1 import agent_pb2
from triptych.archival.v1 import archival_pb2
from triptych.errors import InvalidArgument
from triptych.recall.v1 import recall_pb2

_BATCH, _BATCH_BYTES = 500, 2 * 1024 * 1024
T = TypeVar("T")
M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Wishes:
    """What is to be otherwise than in the file. Empty: as it is there."""

    name: str = ""
    copy_suffix: bool = False
    model: str = ""
    embedding: str = ""
    override_tools: bool = False
    strip_messages: bool = False


def parsed(content: bytes) -> schema.AgentFile:
    """Raises: InvalidArgument, which says where, and repeats nothing of what is there."""
    try:
        return schema.AgentFile.model_validate(orjson.loads(content.removeprefix(BOM_UTF8)))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidArgument.of("file", f"is no agent file: {where}: {first['msg']}") from None
    except ValueError:
        raise InvalidArgument.of("file", "is no agent file: it is not JSON") from None


@dataclass
class Importer:
    """Of one file, for the caller."""

    back: Backends
    known: Catalogue
    file: schema.AgentFile
    wishes: Wishes
    # Tools of Letta's server that there are none of here: agents come without them.
    missing_tools: list[str] = field(default_factory=list)
    _blocks: dict[str, str] = field(default_factory=dict)
    _archives: dict[str, str] = field(default_factory=dict)
    _agents: list[str] = field(default_factory=list)

    async def run(self) -> list[str]:
        """The new agents' ids. Raises: InvalidArgument; whatever the tiers raise."""
        names = await self._tools()
        try:
            for agent in self.file.agents:
                await self._agent(agent, names)
        except BaseException:
            await self.take_back()
            raise
        return self._agents

    async def take_back(self) -> None:
        """Tools stay: they may be in use by now, and another import finds them."""
        for agent_id in self._agents:
            gone = agent_pb2.DeleteAgentRequest(agent_id=agent_id)
            await self.back.agent_peer.unary(self.back.agents.DeleteAgent, gone)
        for block_id in self._blocks.values():
            await self.back.agent_peer.unary(
                self.back.agents.DeleteBlock, agent_pb2.DeleteBlockRequest(block_id=block_id)
            )
        for archive_id in self._archives.values():
            request = archival_pb2.DeleteArchiveRequest(archive_id=archive_id)
            await self.back.archival_peer.unary(self.back.archival.DeleteArchive, request)

    async def _tools(self) -> dict[str, str]:
        """The names of the file's tools by its ids of them; those that are not here are made."""
        here = await self.known.tools()
        names: dict[str, str] = {}
        for tool in self.file.tools:
            names[tool.id] = tool.name
            own = here.get(tool.name, {}).get("tool_type") == "custom"
            if tool.name not in here and tool.tool_type != "custom":
                self.missing_tools.append(tool.name)
            elif tool.name not in here:
                create = agent_pb2.CreateToolRequest(tool=_tool(tool), request_id=str(uuid.uuid4()))
                await self.back.agent_peer.unary(self.back.agents.CreateTool, create)
            elif own and self.wishes.override_tools:
                upsert = agent_pb2.UpsertToolRequest(tool=_tool(tool), request_id=str(uuid.uuid4()))
                await self.back.agent_peer.unary(self.back.agents.UpsertTool, upsert)
        return names

    async def _agent(self, agent: schema.Agent, tool_names: dict[str, str]) -> None:
        request = agent_pb2.CreateAgentRequest(
            agent=self._wanted(agent, tool_names),
            block_ids=[await self._block(block_id) for block_id in agent.block_ids],
        )
        made = (await self.back.agent_peer.unary(self.back.agents.CreateAgent, request)).agent
        self._agents.append(made.id)
        await self._archival(agent, made)
        if not self.wishes.strip_messages:
            await self._recall(agent, made)

    def _wanted(self, agent: schema.Agent, tool_names: dict[str, str]) -> agent_pb2.Agent:
        model = agent.llm_config or schema.Model()
        names = [_known("tools", tool_names, tool_id) for tool_id in agent.tool_ids]
        settings = agent_pb2.ModelSettings(
            handle=self.wishes.model or agent.model or model.handle or model.model or "",
            context_window=model.context_window or 0,
            max_output_tokens=model.max_tokens or 0,
        )
        if model.temperature is not None:
            settings.temperature = model.temperature
        return agent_pb2.Agent(
            name=(self.wishes.name or agent.name) + ("_copy" if self.wishes.copy_suffix else ""),
            agent_type=agent.agent_type or "",
            system=agent.system or "",
            description=agent.description or "",
            embedding=self.wishes.embedding or agent.embedding or "",
            timezone=agent.timezone or "",
            tags=agent.tags or [],
            metadata=ParseDict(agent.metadata or {}, Struct()),
            tools=[name for name in names if name not in self.missing_tools],
            tool_rules=[tool_rules.read(rule) for rule in agent.tool_rules or []],
            model=settings,
        )

    async def _block(self, file_id: str) -> str:
        """Blocks that several of the file's agents have are one block here too."""
        if file_id not in self._blocks:
            block = _known("blocks", {each.id: each for each in self.file.blocks}, file_id)
            wanted = agent_pb2.Block(
                label=block.label,
                value=block.value,
                description=block.description or "",
                limit=block.limit or 0,
                read_only=block.read_only,
                metadata=ParseDict(block.metadata or {}, Struct()),
                tags=block.tags or [],
            )
            made = await self.back.agent_peer.unary(
                self.back.agents.CreateBlock, agent_pb2.CreateBlockRequest(block=wanted)
            )
            self._blocks[file_id] = made.block.id
        return self._blocks[file_id]

    async def _archival(self, agent: schema.Agent, made: agent_pb2.Agent) -> None:
        archives = {each.id: each for each in self.file.archives}
        ids = [await self._archive(_known("archives", archives, each)) for each in agent.archive_ids]
        if ids:
            wanted = agent_pb2.Agent(id=made.id, archive_ids=ids)
            request = agent_pb2.UpdateAgentRequest(agent=wanted, update_mask=FieldMask(paths=["archive_ids"]))
            await self.back.agent_peer.unary(self.back.agents.UpdateAgent, request)

    async def _archive(self, archive: schema.Archive) -> str:
        if archive.id not in self._archives:
            wanted = archival_pb2.Archive(name=archive.name, description=archive.description or "")
            made = await self.back.archival_peer.unary(
                self.back.archival.CreateArchive, archival_pb2.CreateArchiveRequest(archive=wanted)
            )
            self._archives[archive.id] = made.archive.id
            passages = [each for each in self.file.passages if each.archive_id == archive.id]
            for batch in _batches(map(_passage, passages)):
                insert = archival_pb2.InsertPassagesRequest(
                    archive_id=made.archive.id, request_id=str(uuid.uuid4()), passages=batch
                )
                await self.back.archival_peer.unary(self.back.archival.InsertPassages, insert)
        return self._archives[archive.id]

    async def _recall(self, agent: schema.Agent, made: agent_pb2.Agent) -> None:
        conversations = {"": made.default_conversation_id}
        for each in agent.conversations:
            wanted = agent_pb2.Conversation(agent_id=made.id, title=each.title or "", summary=each.summary or "")
            request = agent_pb2.CreateConversationRequest(conversation=wanted)
            created = await self.back.agent_peer.unary(self.back.agents.CreateConversation, request)
            conversations[each.id] = created.conversation.id
        of_conversation = sorted(agent.messages, key=lambda message: message.conversation_id or "")
        for file_id, group in groupby(of_conversation, lambda message: message.conversation_id or ""):
            conversation_id = _known("conversations", conversations, file_id)
            for batch in _batches(messages.read(list(group))):
                append = recall_pb2.AppendMessagesRequest(
                    agent_id=made.id, conversation_id=conversation_id, request_id=str(uuid.uuid4()), messages=batch
                )
                await self.back.recall_peer.unary(self.back.recall.AppendMessages, append)


def _known(kind: str, known: dict[str, T], file_id: str) -> T:
    if file_id not in known:
        raise InvalidArgument.of("file", f"names one of its {kind} that it does not have: {file_id[:50]}")
    return known[file_id]


def _batches(items: Iterable[M]) -> Iterator[list[M]]:
    """What one request holds: 500, or as many as are not too large together."""
    batch: list[M] = []
    size = 0
    for item in items:
        if batch and (len(batch) == _BATCH or size + item.ByteSize() > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += item.ByteSize()
    if batch:
        yield batch


def _tool(tool: schema.Tool) -> agent_pb2.Tool:
    return agent_pb2.Tool(
        name=tool.name,
        description=tool.description or "",
        json_schema="" if tool.json_schema is None else json.dumps(tool.json_schema),
        source_code=tool.source_code or "",
        tags=tool.tags or [],
        return_char_limit=tool.return_char_limit or 0,
        requires_approval=bool(tool.default_requires_approval),
    )


def _passage(passage: schema.Passage) -> archival_pb2.Passage:
    return archival_pb2.Passage(
        text=passage.text,
        tags=passage.tags or [],
        metadata=ParseDict(passage.metadata or {}, Struct()),
        create_time=moment("passages.created_at", passage.created_at),
    )
