"""An agent as an agent file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from gateway.agentfile import messages
from gateway.backends import Backends
from gateway.rest import forms
from gateway.rest.agents import compiled_prompt
from gateway.rest.catalogue import Catalogue
from servicekit import structs
from triptych.agent.v1 import agent_pb2
from triptych.archival.v1 import archival_pb2
from triptych.errors import NotFound
from triptych.recall.v1 import recall_pb2
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2

_PAGE = 200
Json = dict[str, Any]


async def exported(back: Backends, known: Catalogue, agent_id: str, *, with_messages: bool) -> Json:
    """The file's JSON. Raises: NotFound."""
    agent = (await back.agent_peer.unary(back.agents.GetAgent, agent_pb2.GetAgentRequest(agent_id=agent_id))).agent
    shown = await known.agent(agent)
    blocks = [{**block, "id": f"block-{number}"} for number, block in enumerate(shown["blocks"])]
    tools = [{**tool, "id": f"tool-{number}"} for number, tool in enumerate(await known.tools_of(agent))]
    archives, passages = await _archival(back, agent)
    conversations, said = await _recall(back, agent) if with_messages else ([], [])
    return {
        "agents": [
            {
                **shown,
                "id": "agent-0",
                "memory_blocks": [],
                "blocks": [],
                "memory": None,
                "secrets": {},
                "tools": [],
                "block_ids": [block["id"] for block in blocks],
                "tool_ids": [tool["id"] for tool in tools],
                "messages": said,
                "in_context_message_ids": [message["id"] for message in said if not message["conversation_id"]],
                "conversations": conversations,
                "archive_ids": [archive["id"] for archive in archives],
            }
        ],
        "blocks": blocks,
        "tools": tools,
        "archives": archives,
        "passages": passages,
        "groups": [],
        "files": [],
        "sources": [],
        "mcp_servers": [],
        "metadata": {"exported_by": "triptych"},
        "created_at": None,
    }


async def _recall(back: Backends, agent: agent_pb2.Agent) -> tuple[list[Json], list[Json]]:
    """Each conversation begins with the prompt, as Letta's do."""
    text = await compiled_prompt(back, agent_pb2.PreviewContextRequest(agent_id=agent.id))
    prompt = Message(role=type_pb2.ROLE_SYSTEM, text=text, create_time=agent.create_time)
    conversations: list[Json] = []
    said: list[Json] = []
    listing = agent_pb2.ListConversationsRequest(agent_id=agent.id, page_size=_PAGE)
    async for each in _all(back.agent_peer, back.agents.ListConversations, listing, "conversations"):
        here = None
        if each.guest_id:  # what others have said to the agent is not what it takes along
            continue
        if each.id != agent.default_conversation_id:
            here = f"conversation-{len(conversations)}"
            conversations.append({"id": here, "title": each.title or None, "summary": each.summary or None})
        said.append(messages.written(prompt, len(said), here))
        wanted = recall_pb2.ListMessagesRequest(
            agent_id=agent.id, conversation_id=each.id, page_size=_PAGE, order=type_pb2.SORT_ORDER_ASCENDING
        )
        async for message in _all(back.recall_peer, back.recall.ListMessages, wanted, "messages"):
            said.append(messages.written(message, len(said), here))
    return conversations, said


async def _archival(back: Backends, agent: agent_pb2.Agent) -> tuple[list[Json], list[Json]]:
    archives: list[Json] = []
    passages: list[Json] = []
    for archive_id in agent.archive_ids:
        try:
            got = await back.archival_peer.unary(
                back.archival.GetArchive, archival_pb2.GetArchiveRequest(archive_id=archive_id)
            )
        except NotFound:  # nothing was ever inserted
            continue
        here = f"archive-{len(archives)}"
        archives.append({"id": here, "name": got.archive.name, "description": got.archive.description or None})
        wanted = archival_pb2.ListPassagesRequest(archive_ids=[archive_id], page_size=_PAGE)
        async for passage in _all(back.archival_peer, back.archival.ListPassages, wanted, "passages"):
            passages.append(
                {
                    "archive_id": here,
                    "text": passage.text,
                    "tags": list(passage.tags),
                    "metadata": structs.plain(passage.metadata),
                    "created_at": forms.time(passage.create_time),
                }
            )
    return archives, passages


async def _all(peer: Any, method: Any, request: Any, field: str) -> AsyncIterator[Any]:
    """Every item of all pages of a list."""
    while True:
        response = await peer.unary(method, request)
        for item in getattr(response, field):
            yield item
        request.page_token = response.next_page_token
        if not request.page_token:
            return
