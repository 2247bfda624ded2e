"""Serves batches by gRPC."""

from __future__ import annotations

from contextlib import suppress

from gateway import journal
from gateway.backends import Backends
from gateway.batches.batches import Batches
from gateway.stores import requests
from gateway.stores.batches import Batch, Item, State
from gateway.stores.rows import timestamp
from servicekit import paging, principal
from servicekit.rpc import Context
from triptych.errors import InvalidArgument, NotFound
from triptych.gateway.v1 import batch_pb2 as pb
from triptych.gateway.v1.batch_pb2_grpc import BatchServiceServicer

_STATES = {
    State.WAITING: pb.BATCH_STATE_QUEUED,
    State.RUNNING: pb.BATCH_STATE_RUNNING,
    State.COMPLETED: pb.BATCH_STATE_COMPLETED,
    State.FAILED: pb.BATCH_STATE_FAILED,
    State.CANCELLED: pb.BATCH_STATE_CANCELLED,
}
_MOST_TURNS = 1_000
_ITEMS, _MOST_ITEMS = 20, 100
# What was said can be long: a page that has grown so large is cut.
_PAGE_BYTES = 4 * 1024 * 1024


class BatchServicer(BatchServiceServicer):
    def __init__(self, batches: Batches, backends: Backends) -> None:
        self._batches, self._backends = batches, backends

    async def CreateBatch(self, request: pb.CreateBatchRequest, context: Context) -> pb.CreateBatchResponse:
        requests.check_id(request.request_id, needed=True)
        if not 1 <= len(request.turns) <= _MOST_TURNS:
            raise InvalidArgument.of("turns", f"must be 1 to {_MOST_TURNS:,}")
        for turn in request.turns:
            if not turn.messages:
                raise InvalidArgument.of("turns", "must have messages")
            if turn.approvals or turn.tool_returns:
                raise InvalidArgument.of("turns", "answers to waiting turns can't be sent in a batch")
            turn.deltas = turn.together = False
        made = await self._batches.create(request.turns, request.request_id)
        # As it was made, though it may be under way by now: the same answer each time.
        return pb.CreateBatchResponse(
            batch=pb.Batch(
                id=made.id,
                create_time=timestamp(made.created_at),
                state=pb.BATCH_STATE_QUEUED,
                queued_count=len(request.turns),
            )
        )

    async def GetBatch(self, request: pb.GetBatchRequest, context: Context) -> pb.GetBatchResponse:
        return pb.GetBatchResponse(batch=_shown(await self._batches.get(request.batch_id)))

    async def ListBatches(self, request: pb.ListBatchesRequest, context: Context) -> pb.ListBatchesResponse:
        page = paging.read(
            size=request.page_size,
            token=request.page_token,
            query=("ListBatches", *principal.tenant()),
            order=request.order,
            newest_first=True,
        )
        found = await self._batches.list_page(
            page.size + 1, before_id="", after_id=page.behind(""), descending=page.descending
        )
        shown, token = page.cut(found, lambda batch: batch.id)
        return pb.ListBatchesResponse(batches=map(_shown, shown), next_page_token=token)

    async def CancelBatch(self, request: pb.CancelBatchRequest, context: Context) -> pb.CancelBatchResponse:
        """Again, it changes nothing."""
        return pb.CancelBatchResponse(batch=_shown(await self._batches.cancel(request.batch_id)))

    async def ListBatchItems(self, request: pb.ListBatchItemsRequest, context: Context) -> pb.ListBatchItemsResponse:
        page = paging.read(
            size=request.page_size,
            token=request.page_token,
            query=("ListBatchItems", *principal.tenant(), request.batch_id, request.agent_id),
            default=_ITEMS,
            maximum=_MOST_ITEMS,
        )
        last = page.behind(-1)
        items = await self._batches.items(request.batch_id, request.agent_id)
        found = [item for item in items if item.position > last]
        response = pb.ListBatchItemsResponse()
        for item in found[: page.size]:
            response.items.append(await self._item(item))
            if response.ByteSize() > _PAGE_BYTES:
                break
        if len(response.items) < len(found):
            response.next_page_token = page.token((response.items[-1].position,))
        return response

    async def _item(self, item: Item) -> pb.BatchItem:
        shown = pb.BatchItem(
            position=item.position, agent_id=item.agent_id, state=_STATES[item.state], turn_id=item.turn_id
        )
        if item.turn_id:
            with suppress(NotFound):  # it went with its agent
                shown.messages.extend(journal.said(await journal.events(self._backends, item.turn_id)))
        return shown


def _shown(batch: Batch) -> pb.Batch:
    counts = {f"{_name(state)}_count": number for state, number in batch.counts.items()}
    return pb.Batch(
        id=batch.id,
        create_time=timestamp(batch.created_at),
        end_time=timestamp(batch.ended_at),
        state=_state(batch),
        **counts,
    )


def _state(batch: Batch) -> pb.BatchState.ValueType:
    if batch.cancelled:
        return pb.BATCH_STATE_CANCELLED
    if batch.ended_at is None:
        return pb.BATCH_STATE_RUNNING if set(batch.counts) - {State.WAITING} else pb.BATCH_STATE_QUEUED
    return pb.BATCH_STATE_FAILED if set(batch.counts) == {State.FAILED} else pb.BATCH_STATE_COMPLETED


def _name(state: State) -> str:
    return pb.BatchState.Name(_STATES[state]).removeprefix("BATCH_STATE_").lower()
