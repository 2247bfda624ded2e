"""Agents, their blocks and conversations."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from triptych.agent.v1 import agent_pb2 as pb
from triptych.errors import Unavailable
from triptych.gateway.v1 import agent_file_pb2
from triptych.sdk.aio.transport import AsyncTransport
from triptych.sdk.said import struct

_SERVICE = "/triptych.agent.v1.AgentService/"
_FILES = "/triptych.gateway.v1.AgentFileService/"
_CHUNK = 256 * 1024


class AsyncAgents:
    """`client.agents`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(
        self,
        name: str = "",
        *,
        blocks: Mapping[str, str] | Sequence[pb.Block] = (),
        block_ids: Sequence[str] = (),
        model: str | pb.ModelSettings = "",
        agent_type: str = "",
        system: str = "",
        description: str = "",
        tags: Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
        tools: Sequence[str] = (),
        tool_rules: Sequence[pb.ToolRule] = (),
        archive_ids: Sequence[str] = (),
        identity_ids: Sequence[str] = (),
        include_base_tools: bool = True,
        context_window: int = 0,
        timezone: str = "",
        sleep_time: pb.SleepTimeSettings | None = None,
        request_id: str | None = None,
    ) -> pb.Agent:
        """Makes an agent.

        `blocks`: its core memory, as {label: value} or as Block messages. `model`: '' is the server's default; with
        more than a name, as ModelSettings. `metadata`: JSON values of your own.
        `context_window`: tokens; 0 is the model's own. `sleep_time`: when a turn of its own reads what was said and
        keeps what will matter; not at all by default. Raises: InvalidArgument, AlreadyExists, NotFound.

            agent = await client.agents.create("ann", blocks={"human": "Name: Ann.", "persona": "You are a friend."})
        """
        made = (
            [pb.Block(label=label, value=value) for label, value in blocks.items()]
            if isinstance(blocks, Mapping)
            else list(blocks)
        )
        settings = pb.ModelSettings(handle=model) if isinstance(model, str) else model
        agent = pb.Agent(
            name=name,
            blocks=made,
            agent_type=agent_type,
            system=system,
            description=description,
            tags=tags,
            metadata=struct(metadata),
            tools=tools,
            tool_rules=tool_rules,
            archive_ids=archive_ids,
            identity_ids=identity_ids,
            timezone=timezone,
            model=settings,
            sleep_time=sleep_time,
        )
        if context_window:
            agent.model.context_window = context_window
        request = pb.CreateAgentRequest(
            agent=agent,
            block_ids=block_ids,
            include_base_tools=include_base_tools,
            request_id=request_id or str(uuid.uuid4()),
        )
        response = await self._transport.unary(_SERVICE + "CreateAgent", request, pb.CreateAgentResponse)
        return response.agent

    async def get(self, agent_id: str) -> pb.Agent:
        """Raises: NotFound."""
        request = pb.GetAgentRequest(agent_id=agent_id)
        return (await self._transport.unary(_SERVICE + "GetAgent", request, pb.GetAgentResponse)).agent

    async def list(
        self, *, name: str = "", tags: Sequence[str] = (), block_id: str = "", identity_id: str = ""
    ) -> AsyncIterator[pb.Agent]:
        """All of the user's agents, newest first, page by page as they are read.

        `name`: exactly this one. `tags`: with any of these. `block_id`, `identity_id`: that have it.

            async for each in client.agents.list(tags=["support"]):
                print(each.id, each.name)
        """
        request = pb.ListAgentsRequest(name=name, tags=tags, block_id=block_id, identity_id=identity_id, page_size=100)
        while True:
            page = await self._transport.unary(_SERVICE + "ListAgents", request, pb.ListAgentsResponse)
            for agent in page.agents:
                yield agent
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    async def count(self) -> int:
        request = pb.CountAgentsRequest()
        return (await self._transport.unary(_SERVICE + "CountAgents", request, pb.CountAgentsResponse)).count

    async def update(self, agent: pb.Agent, *fields: str, request_id: str | None = None) -> pb.Agent:
        """Writes the named fields of `agent`.

        Raises: NotFound, InvalidArgument.

            agent.description = "Ann's helper"
            agent = await client.agents.update(agent, "description")
        """
        request = pb.UpdateAgentRequest(
            agent=agent, update_mask=FieldMask(paths=fields), request_id=request_id or str(uuid.uuid4())
        )
        return (await self._transport.unary(_SERVICE + "UpdateAgent", request, pb.UpdateAgentResponse)).agent

    async def undo_sleep_time(self, turn_id: str, *, request_id: str | None = None) -> pb.UndoSleepTimeTurnResponse:
        """Takes back all that one sleep-time turn wrote to blocks and to archival memory; what was edited since stays.

        The turns are in the conversation `agent.sleep_time.conversation_id`. Raises: NotFound; FailedPrecondition if it
        still runs, or if lines that it changed were edited since: then nothing changes.
        """
        request = pb.UndoSleepTimeTurnRequest(turn_id=turn_id, request_id=request_id or str(uuid.uuid4()))
        return await self._transport.unary(_SERVICE + "UndoSleepTimeTurn", request, pb.UndoSleepTimeTurnResponse)

    async def open_file(
        self, agent_id: str, document_id: str, *, start: int = 0, characters: int = 0, request_id: str | None = None
    ) -> pb.OpenFileResponse:
        """Has a part of a document stand in the agent's context, at most 10,000 characters; of five files at the most.

        `closed_files` of what it gives were closed for it. Raises: NotFound, InvalidArgument.
        """
        request = pb.OpenFileRequest(
            agent_id=agent_id,
            document_id=document_id,
            start=start,
            characters=characters,
            request_id=request_id or str(uuid.uuid4()),
        )
        return await self._transport.unary(_SERVICE + "OpenFile", request, pb.OpenFileResponse)

    async def close_files(
        self, agent_id: str, document_id: str = "", *, request_id: str | None = None
    ) -> pb.CloseFilesResponse:
        """Takes a file, or all of them, out of the agent's context. Raises: NotFound."""
        request = pb.CloseFilesRequest(
            agent_id=agent_id, document_id=document_id, request_id=request_id or str(uuid.uuid4())
        )
        return await self._transport.unary(_SERVICE + "CloseFiles", request, pb.CloseFilesResponse)

    async def delete(self, agent_id: str, *, request_id: str | None = None) -> None:
        """Deletes the agent with its own blocks, its messages and its archive. Raises: NotFound."""
        request = pb.DeleteAgentRequest(agent_id=agent_id, request_id=request_id or str(uuid.uuid4()))
        await self._transport.unary(_SERVICE + "DeleteAgent", request, pb.DeleteAgentResponse)

    async def context(self, agent_id: str, *, conversation_id: str = "") -> pb.PreviewContextResponse:
        """What the model would be sent now, with token counts by part.

        Raises: NotFound.

            context = await client.agents.context(agent.id)
            print(context.tokens.total, "of", context.context_window)
        """
        request = pb.PreviewContextRequest(agent_id=agent_id, conversation_id=conversation_id)
        return await self._transport.unary(_SERVICE + "PreviewContext", request, pb.PreviewContextResponse)

    async def new_conversation(
        self, agent_id: str, *, summary: str = "", request_id: str | None = None
    ) -> pb.Conversation:
        """Another thread of the agent, over the same memory. Raises: NotFound."""
        request = pb.CreateConversationRequest(
            conversation=pb.Conversation(agent_id=agent_id, summary=summary), request_id=request_id or str(uuid.uuid4())
        )
        response = await self._transport.unary(_SERVICE + "CreateConversation", request, pb.CreateConversationResponse)
        return response.conversation

    async def compact(
        self,
        agent_id: str,
        *,
        conversation_id: str = "",
        everything: bool = False,
        request_id: str | None = None,
    ) -> pb.Compaction:
        """Folds the oldest part of the window, or `everything` in it, into the conversation's summary.

        Raises: NotFound, Aborted CONVERSATION_BUSY, what the model raises; then nothing has changed.

            await client.turns.send(agent.id, "Hello!")
            print((await client.agents.compact(agent.id, everything=True)).summary_message.text)
        """
        request = pb.CompactConversationRequest(
            agent_id=agent_id,
            conversation_id=conversation_id,
            mode=pb.COMPACTION_MODE_ALL if everything else pb.COMPACTION_MODE_UNSPECIFIED,
            request_id=request_id or str(uuid.uuid4()),
        )
        method = _SERVICE + "CompactConversation"
        return (await self._transport.unary(method, request, pb.CompactConversationResponse)).compaction

    async def reset(
        self, agent_id: str, *, conversation_id: str = "", request_id: str | None = None
    ) -> pb.Conversation:
        """Empties window and summary: nothing said so far is in view any more; recall keeps it. Raises: NotFound."""
        request = pb.ResetConversationRequest(
            agent_id=agent_id, conversation_id=conversation_id, request_id=request_id or str(uuid.uuid4())
        )
        method = _SERVICE + "ResetConversation"
        return (await self._transport.unary(method, request, pb.ResetConversationResponse)).conversation

    async def export_file(self, agent_id: str, *, with_messages: bool = True) -> bytes:
        """The agent with its blocks, tools, conversations and archives, as an agent file (`.af`): JSON.

        Raises: NotFound.

            Path("ann.af").write_bytes(await client.agents.export_file(agent.id))
            made = await client.agents.import_file("ann.af", name="ann again")
            print(made.agent_ids, made.missing_tools)
        """
        request = agent_file_pb2.ExportAgentRequest(agent_id=agent_id, without_messages=not with_messages)
        content = bytearray()
        async for part in self._transport.stream(_FILES + "ExportAgent", request, agent_file_pb2.ExportAgentResponse):
            content += part.data
        return bytes(content)

    async def import_file(
        self,
        file: str | Path | bytes,
        *,
        name: str = "",
        copy_suffix: bool = False,
        model: str = "",
        embedding: str = "",
        override_tools: bool = False,
        with_messages: bool = True,
        request_id: str | None = None,
    ) -> agent_file_pb2.ImportAgentsResponse:
        """Makes new agents of an agent file, of ours or of Letta's; gives their ids, and what tools they lack.

        `file`: a path, or the content. `name`, `model`, `embedding`: in place of the file's. `copy_suffix`: sets
        `_copy` behind the names. `override_tools`: tools of yours with a name of the file's get the file's content.
        A file that can't be brought in whole leaves no agent behind. The same `request_id` makes no others.
        Raises: InvalidArgument, ResourceExhausted for a file over 64 MiB, OSError.
        """
        header = agent_file_pb2.AgentFileHeader(
            name=name,
            copy_suffix=copy_suffix,
            model=model,
            embedding=embedding,
            override_tools=override_tools,
            without_messages=not with_messages,
            request_id=request_id or str(uuid.uuid4()),
        )
        parts = _parts(header, _content(file))
        path = _FILES + "ImportAgents"
        async for made in self._transport.exchange(path, parts, agent_file_pb2.ImportAgentsResponse):
            return made
        raise Unavailable("the stream ended before the agents were made")


def _content(file: str | Path | bytes) -> bytes:
    return file if isinstance(file, bytes) else Path(file).read_bytes()


async def _parts(
    header: agent_file_pb2.AgentFileHeader, content: bytes
) -> AsyncIterator[agent_file_pb2.ImportAgentsRequest]:
    yield agent_file_pb2.ImportAgentsRequest(header=header)
    for start in range(0, len(content), _CHUNK):
        yield agent_file_pb2.ImportAgentsRequest(chunk=content[start : start + _CHUNK])
