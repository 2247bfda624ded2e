"""Many turns in the background."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence

from triptych.agent.v1.turn_pb2 import InputMessage, StartTurnRequest
from triptych.gateway.v1 import batch_pb2 as pb
from triptych.sdk.aio.pause import pause
from triptych.sdk.aio.transport import AsyncTransport

_SERVICE = "/triptych.gateway.v1.BatchService/"
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0


class AsyncBatches:
    """`client.batches`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(
        self, turns: Sequence[tuple[str, str] | StartTurnRequest], *, request_id: str | None = None
    ) -> pb.Batch:
        """Runs 1 to 1,000 turns, several at a time, whether anybody waits or not.

        `turns`: an agent's id and what it is told, each; or requests, for those with more to say (a conversation,
        images, `max_steps`).

        Raises: NotFound for an agent, InvalidArgument, FailedPrecondition for more than 20 at once.

            batch = await client.batches.create([(agent.id, "Sum up Monday."), (agent.id, "Sum up Tuesday.")])
            batch = await client.batches.wait(batch.id)
            async for item in client.batches.items(batch.id):
                print(item.position, item.messages[-1].text)
        """
        starts = [
            each
            if isinstance(each, StartTurnRequest)
            else StartTurnRequest(agent_id=each[0], messages=[InputMessage(text=each[1])])
            for each in turns
        ]
        request = pb.CreateBatchRequest(turns=starts, request_id=request_id or str(uuid.uuid4()))
        return (await self._transport.unary(_SERVICE + "CreateBatch", request, pb.CreateBatchResponse)).batch

    async def get(self, batch_id: str) -> pb.Batch:
        """Raises: NotFound."""
        request = pb.GetBatchRequest(batch_id=batch_id)
        return (await self._transport.unary(_SERVICE + "GetBatch", request, pb.GetBatchResponse)).batch

    async def wait(self, batch_id: str) -> pb.Batch:
        """Asks until all of its turns are over. Raises: NotFound."""
        wait = _FIRST_PAUSE_SECONDS
        while not (batch := await self.get(batch_id)).HasField("end_time"):
            await pause(wait)
            wait = min(2 * wait, _LONGEST_PAUSE_SECONDS)
        return batch

    async def list(self) -> AsyncIterator[pb.Batch]:
        """Newest first."""
        request = pb.ListBatchesRequest(page_size=100)
        while True:
            page = await self._transport.unary(_SERVICE + "ListBatches", request, pb.ListBatchesResponse)
            for batch in page.batches:
                yield batch
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    async def cancel(self, batch_id: str) -> pb.Batch:
        """Starts nothing more of it, and stops what runs. Raises: NotFound."""
        request = pb.CancelBatchRequest(batch_id=batch_id, request_id=str(uuid.uuid4()))
        return (await self._transport.unary(_SERVICE + "CancelBatch", request, pb.CancelBatchResponse)).batch

    async def items(self, batch_id: str, *, agent_id: str = "") -> AsyncIterator[pb.BatchItem]:
        """Its turns in their order, with what was said in each so far; of one agent, or of all. Raises: NotFound."""
        request = pb.ListBatchItemsRequest(batch_id=batch_id, agent_id=agent_id, page_size=50)
        while True:
            page = await self._transport.unary(_SERVICE + "ListBatchItems", request, pb.ListBatchItemsResponse)
            for item in page.items:
                yield item
            request.page_token = page.next_page_token
            if not request.page_token:
                return
