# Generated from triptych/sdk/aio by scripts/generate_sync.py: change it there.
"""Recall and archival memory."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from triptych import archives
from triptych.agent.v1.agent_pb2 import Agent
from triptych.archival.v1 import archival_pb2 as archival
from triptych.recall.v1 import recall_pb2 as recall
from triptych.sdk.sync.transport import Transport
from triptych.sdk.said import as_message, stamp
from triptych.type.v1 import type_pb2

_RECALL = "/triptych.recall.v1.RecallService/"
_ARCHIVAL = "/triptych.archival.v1.ArchivalService/"


class Recall:
    """`client.recall`: every message ever."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def search(
        self,
        query: str,
        *,
        agent_id: str = "",
        conversation_id: str = "",
        roles: Sequence[type_pb2.Role.ValueType] = (),
        mode: type_pb2.SearchMode.ValueType = type_pb2.SEARCH_MODE_HYBRID,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 10,
    ) -> Sequence[recall.MessageHit]:
        """The best hits, best first; of one agent, of one conversation, or of all the user's.

        `roles`: () for all but tools'. `start`, `end`: both ends are part of the range. Raises: InvalidArgument.

            for hit in client.recall.search("sister", agent_id=agent.id):
                print(hit.score, hit.message.text)
        """
        request = recall.SearchMessagesRequest(
            query=query,
            agent_id=agent_id,
            conversation_id=conversation_id,
            roles=roles,
            mode=mode,
            start_time=stamp(start),
            end_time=stamp(end),
            limit=limit,
        )
        response = self._transport.unary(_RECALL + "SearchMessages", request, recall.SearchMessagesResponse)
        return response.hits

    def list(
        self, agent_id: str = "", *, conversation_id: str = "", newest_first: bool = False
    ) -> Iterator[recall.Message]:
        """All messages of an agent, of a conversation, or of all the user's, in the order in which they were said.

        Page by page as they are read. Raises: InvalidArgument.

            for message in client.recall.list(agent.id, newest_first=True):
                print(message.role, message.text)
        """
        order = type_pb2.SORT_ORDER_DESCENDING if newest_first else type_pb2.SORT_ORDER_ASCENDING
        request = recall.ListMessagesRequest(
            agent_id=agent_id, conversation_id=conversation_id, order=order, page_size=200
        )
        while True:
            page = self._transport.unary(_RECALL + "ListMessages", request, recall.ListMessagesResponse)
            for message in page.messages:
                yield message
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    def append(
        self,
        agent_id: str,
        conversation_id: str,
        messages: Iterable[Mapping[str, Any] | recall.Message],
        *,
        request_id: str | None = None,
    ) -> Sequence[recall.Message]:
        """Adds up to 1,000 messages that were said elsewhere, all or none; they run no turn. Gives them as stored.

        Raises: InvalidArgument, AlreadyExists for an id that is taken, FailedPrecondition REQUEST_ID_REUSED.

            client.recall.append(
                agent.id, agent.default_conversation_id, [{"role": "user", "content": "I moved to Lisbon."}]
            )
        """
        request = recall.AppendMessagesRequest(
            agent_id=agent_id,
            conversation_id=conversation_id,
            request_id=request_id or str(uuid.uuid4()),
            messages=[as_message(message) for message in messages],
        )
        response = self._transport.unary(_RECALL + "AppendMessages", request, recall.AppendMessagesResponse)
        return response.messages

    def get(self, message_ids: Sequence[str]) -> Sequence[recall.Message]:
        """Those of up to 1,000 messages that there are, in the order asked for."""
        request = recall.GetMessagesRequest(message_ids=message_ids)
        return (self._transport.unary(_RECALL + "GetMessages", request, recall.GetMessagesResponse)).messages

    def update(self, message_id: str, text: str, *, request_id: str | None = None) -> recall.Message:
        """Gives a message another text; what it said before is kept beside it.

        Raises: NotFound, InvalidArgument.

            (message,) = client.recall.append(
                agent.id, agent.default_conversation_id, [{"role": "user", "content": "I moved to Porto."}]
            )
            client.recall.update(message.id, "I moved to Lisbon.")
        """
        request = recall.UpdateMessageRequest(
            message_id=message_id, text=text, request_id=request_id or str(uuid.uuid4())
        )
        return (self._transport.unary(_RECALL + "UpdateMessage", request, recall.UpdateMessageResponse)).message

    def count(self, agent_id: str = "", *, conversation_id: str = "") -> int:
        request = recall.CountMessagesRequest(agent_id=agent_id, conversation_id=conversation_id)
        return (self._transport.unary(_RECALL + "CountMessages", request, recall.CountMessagesResponse)).count


class Archival:
    """`client.archival`: facts and documents. An agent's own archive comes into being on the first insert."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def insert(
        self, agent: Agent, text: str, *, tags: Sequence[str] = (), request_id: str | None = None
    ) -> archival.Passage:
        """Saves a fact into the agent's archive.

        Raises: InvalidArgument, FailedPrecondition if it has none, Unavailable EMBEDDER_UNAVAILABLE.

            client.archival.insert(agent, "Eva lives in Lisbon.", tags=["family"])
        """
        request = archival.InsertPassagesRequest(
            archive_id=archives.saved_to(agent),
            request_id=request_id or str(uuid.uuid4()),
            passages=[archival.Passage(text=text, tags=tags)],
            create_archive_name=f"{agent.name}'s archive",
        )
        response = self._transport.unary(_ARCHIVAL + "InsertPassages", request, archival.InsertPassagesResponse)
        return response.passages[0]

    def search(
        self, agent: Agent, query: str, *, tags: Sequence[str] = (), limit: int = 10
    ) -> Sequence[archival.PassageHit]:
        """The best hits in the agent's archives, best first. `tags`: any of these.

        Raises: InvalidArgument.

            for hit in client.archival.search(agent, "Where does Eva live?"):
                print(hit.score, hit.passage.text)
        """
        request = archival.SearchPassagesRequest(
            archive_ids=archives.searched(agent), query=query, tags=tags, limit=limit
        )
        response = self._transport.unary(_ARCHIVAL + "SearchPassages", request, archival.SearchPassagesResponse)
        return response.hits

    def list(self, agent: Agent) -> Iterator[archival.Passage]:
        """All passages of the agent's archives, oldest first."""
        request = archival.ListPassagesRequest(archive_ids=archives.searched(agent), page_size=200)
        while True:
            page = self._transport.unary(_ARCHIVAL + "ListPassages", request, archival.ListPassagesResponse)
            for passage in page.passages:
                yield passage
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    def delete(self, passage_id: str) -> None:
        """Raises: NotFound."""
        request = archival.DeletePassageRequest(passage_id=passage_id, request_id=str(uuid.uuid4()))
        self._transport.unary(_ARCHIVAL + "DeletePassage", request, archival.DeletePassageResponse)
