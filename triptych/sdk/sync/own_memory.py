# Generated from triptych/sdk/aio by scripts/generate_sync.py: change it there.
"""Memory for programs that run agents of their own."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from triptych.archival.v1.archival_pb2 import Passage
from triptych.gateway.v1 import memory_pb2 as pb
from triptych.recall.v1.recall_pb2 import Message
from triptych.sdk.sync.transport import Transport
from triptych.sdk.said import as_message, stamp
from triptych.type.v1 import type_pb2

_SERVICE = "/triptych.gateway.v1.MemoryService/"


class Memory:
    """`client.memory`: what was said and what is known, without an agent of this server."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def add(
        self,
        messages: Iterable[Mapping[str, Any] | Message] = (),
        *,
        facts: Iterable[str | Passage] = (),
        conversation_id: str = "",
        agent_id: str = "",
        request_id: str | None = None,
    ) -> pb.AddMemoryResponse:
        """Adds what was said (to recall) and what is to be known (to archival), at most 1,000 of each.

        `messages`: as in the OpenAI chat format (`role`, `content`, `name`), or the contract's own; those that say
        nothing (such as a call of a tool) are left out. `conversation_id`: your name of the conversation. `agent_id`:
        an agent whose memory it becomes; else the user's own.
        `request_id`: the same one adds once. Raises: InvalidArgument, NotFound.

            client.memory.add(
                [{"role": "user", "content": "Eva moved to Lisbon."}], facts=["Eva lives in Lisbon."]
            )
        """
        request = pb.AddMemoryRequest(
            agent_id=agent_id,
            conversation_id=conversation_id,
            request_id=request_id or str(uuid.uuid4()),
            messages=[as_message(message) for message in messages],
            facts=[Passage(text=fact) if isinstance(fact, str) else fact for fact in facts],
        )
        return self._transport.unary(_SERVICE + "AddMemory", request, pb.AddMemoryResponse)

    def search(
        self,
        query: str,
        *,
        agent_id: str = "",
        conversation_id: str = "",
        mode: type_pb2.SearchMode.ValueType = type_pb2.SEARCH_MODE_HYBRID,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 10,
    ) -> pb.SearchMemoryResponse:
        """The best messages and the best facts, `limit` of each; of one agent, or of all the user's.

        `start`, `end`: both ends are part of the range. Raises: InvalidArgument, NotFound for the agent.

            found = client.memory.search("Where does Eva live?")
            print([hit.passage.text for hit in found.facts], [hit.message.text for hit in found.messages])
        """
        request = pb.SearchMemoryRequest(
            query=query,
            agent_id=agent_id,
            conversation_id=conversation_id,
            mode=mode,
            start_time=stamp(start),
            end_time=stamp(end),
            limit=limit,
        )
        return self._transport.unary(_SERVICE + "SearchMemory", request, pb.SearchMemoryResponse)
