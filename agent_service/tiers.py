"""The other two tiers, as the loop and its tools use them."""

from __future__ import annotations

from collections.abc import Sequence

from servicekit.channel import Peer
from servicekit.principal import Principal
from triptych.archival.v1 import archival_pb2 as archival
from triptych.archival.v1.archival_pb2_grpc import ArchivalServiceStub
from triptych.errors import NotFound
from triptych.recall.v1 import recall_pb2 as recall
from triptych.recall.v1.recall_pb2_grpc import RecallServiceStub
from triptych.type.v1 import type_pb2

_SECONDS = 20.0


class Tiers:
    """Recall and archival. Each method raises what those services raise, and Unavailable or DeadlineExceeded."""

    def __init__(self, recall_peer: Peer, archival_peer: Peer) -> None:
        self._recall_peer, self._archival_peer = recall_peer, archival_peer
        self._recall = RecallServiceStub(recall_peer.channel)
        self._archival = ArchivalServiceStub(archival_peer.channel)

    async def append_messages(
        self, caller: Principal, request: recall.AppendMessagesRequest, *, seconds: float
    ) -> Sequence[recall.Message]:
        """The messages as stored, with their sequence numbers."""
        response = await self._recall_peer.unary(self._recall.AppendMessages, request, caller=caller, seconds=seconds)
        return response.messages

    async def latest_messages(
        self,
        caller: Principal,
        agent_id: str,
        conversation_id: str,
        *,
        page_token: str,
        size: int,
        older_than: str = "",
    ) -> tuple[Sequence[recall.Message], str]:
        """A page of a conversation's messages, newest first, and the token of the next page.

        `older_than`: only those before the message of this id; none if it is not there.
        """
        request = recall.ListMessagesRequest(
            agent_id=agent_id,
            conversation_id=conversation_id,
            page_size=size,
            page_token=page_token,
            order=type_pb2.SORT_ORDER_DESCENDING,
            after_id=older_than,
        )
        response = await self._recall_peer.unary(self._recall.ListMessages, request, caller=caller, seconds=_SECONDS)
        return response.messages, response.next_page_token

    async def get_messages(self, caller: Principal, message_ids: Sequence[str]) -> Sequence[recall.Message]:
        """Those that are there."""
        request = recall.GetMessagesRequest(message_ids=message_ids)
        response = await self._recall_peer.unary(self._recall.GetMessages, request, caller=caller, seconds=_SECONDS)
        return response.messages

    async def list_messages(
        self, caller: Principal, request: recall.ListMessagesRequest
    ) -> recall.ListMessagesResponse:
        return await self._recall_peer.unary(self._recall.ListMessages, request, caller=caller, seconds=_SECONDS)

    async def search_messages(
        self, caller: Principal, request: recall.SearchMessagesRequest
    ) -> Sequence[recall.MessageHit]:
        response = await self._recall_peer.unary(self._recall.SearchMessages, request, caller=caller, seconds=_SECONDS)
        return response.hits

    async def count_messages(self, caller: Principal, agent_id: str) -> int:
        request = recall.CountMessagesRequest(agent_id=agent_id)
        response = await self._recall_peer.unary(self._recall.CountMessages, request, caller=caller, seconds=_SECONDS)
        return response.count

    async def purge_messages(self, caller: Principal, agent_id: str) -> None:
        request = recall.PurgeMessagesRequest(agent_id=agent_id, request_id=f"purge/{agent_id}")
        await self._recall_peer.unary(self._recall.PurgeMessages, request, caller=caller, seconds=_SECONDS)

    async def purge_conversation(self, caller: Principal, conversation_id: str) -> None:
        request = recall.PurgeMessagesRequest(conversation_id=conversation_id, request_id=f"purge/{conversation_id}")
        await self._recall_peer.unary(self._recall.PurgeMessages, request, caller=caller, seconds=_SECONDS)

    async def insert_passages(self, caller: Principal, request: archival.InsertPassagesRequest) -> None:
        await self._archival_peer.unary(self._archival.InsertPassages, request, caller=caller, seconds=_SECONDS)

    async def delete_passage(self, caller: Principal, passage_id: str, request_id: str) -> None:
        """One that is not there is as good as deleted."""
        request = archival.DeletePassageRequest(passage_id=passage_id, request_id=request_id)
        try:
            await self._archival_peer.unary(self._archival.DeletePassage, request, caller=caller, seconds=_SECONDS)
        except NotFound:
            return

    async def search_passages(
        self, caller: Principal, request: archival.SearchPassagesRequest
    ) -> Sequence[archival.PassageHit]:
        response = await self._archival_peer.unary(
            self._archival.SearchPassages, request, caller=caller, seconds=_SECONDS
        )
        return response.hits

    async def count_passages(self, caller: Principal, archive_ids: Sequence[str]) -> int:
        request = archival.CountPassagesRequest(archive_ids=archive_ids)
        response = await self._archival_peer.unary(
            self._archival.CountPassages, request, caller=caller, seconds=_SECONDS
        )
        return response.count

    async def get_archive(self, caller: Principal, archive_id: str) -> archival.Archive:
        """Raises: NotFound."""
        request = archival.GetArchiveRequest(archive_id=archive_id)
        response = await self._archival_peer.unary(self._archival.GetArchive, request, caller=caller, seconds=_SECONDS)
        return response.archive

    async def only_reads(self, caller: Principal, archive_id: str) -> bool:
        """Whether the archive is the account's, which its users can't save to."""
        if caller.tenant.is_account:
            return False
        try:
            return (await self.get_archive(caller, archive_id)).shared
        except NotFound:  # it comes into being with what is saved to it
            return False

    async def get_document(self, caller: Principal, document_id: str) -> archival.Document:
        request = archival.GetDocumentRequest(document_id=document_id)
        response = await self._archival_peer.unary(self._archival.GetDocument, request, caller=caller, seconds=_SECONDS)
        return response.document

    async def list_documents(
        self, caller: Principal, archive_ids: Sequence[str], *, file_name: str = ""
    ) -> Sequence[archival.Document]:
        """Newest first, a thousand at the most."""
        request = archival.ListDocumentsRequest(
            archive_ids=archive_ids, file_name=file_name, page_size=1000, order=type_pb2.SORT_ORDER_DESCENDING
        )
        response = await self._archival_peer.unary(
            self._archival.ListDocuments, request, caller=caller, seconds=_SECONDS
        )
        return response.documents

    async def list_passages(
        self, caller: Principal, *document_ids: str, page_token: str = "", contains: str = "", size: int = 1000
    ) -> tuple[Sequence[archival.Passage], str]:
        """A page of the passages of documents, in their order, and the token of the next page."""
        request = archival.ListPassagesRequest(
            document_ids=document_ids, page_size=size, page_token=page_token, contains=contains
        )
        response = await self._archival_peer.unary(
            self._archival.ListPassages, request, caller=caller, seconds=_SECONDS
        )
        return response.passages, response.next_page_token

    async def purge_archive(self, caller: Principal, archive_id: str) -> None:
        request = archival.PurgeArchivesRequest(
            archive_ids=archival.ArchiveIds(ids=[archive_id]), request_id=f"purge/{archive_id}"
        )
        await self._archival_peer.unary(self._archival.PurgeArchives, request, caller=caller, seconds=_SECONDS)

    async def close(self) -> None:
        await self._recall_peer.close()
        await self._archival_peer.close()
