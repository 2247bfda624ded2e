# Generated from triptych/sdk/aio by scripts/generate_sync.py: change it there.
"""Blocks: core memory, what it was before, and taking edits back."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from triptych.agent.v1 import agent_pb2 as pb
from triptych.errors import NotFound
from triptych.sdk.sync.transport import Transport
from triptych.sdk.said import struct

_SERVICE = "/triptych.agent.v1.AgentService/"


class Blocks:
    """`client.blocks`: core memory, block by block."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        label: str,
        value: str = "",
        *,
        description: str = "",
        limit: int = 0,
        read_only: bool = False,
        tags: Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
        request_id: str | None = None,
    ) -> pb.Block:
        """A block of its own, to be attached to agents. `limit`: characters; 0 is 100,000.

        Raises: InvalidArgument.

            team = client.blocks.create("team", "Ann leads. Bob tests.")
            agent = client.blocks.attach(agent.id, team.id)
        """
        block = pb.Block(
            label=label,
            value=value,
            description=description,
            limit=limit,
            read_only=read_only,
            tags=tags,
            metadata=struct(metadata),
        )
        request = pb.CreateBlockRequest(block=block, request_id=request_id or str(uuid.uuid4()))
        return (self._transport.unary(_SERVICE + "CreateBlock", request, pb.CreateBlockResponse)).block

    def get(self, block_id: str) -> pb.Block:
        """Raises: NotFound."""
        request = pb.GetBlockRequest(block_id=block_id)
        return (self._transport.unary(_SERVICE + "GetBlock", request, pb.GetBlockResponse)).block

    def find(self, agent_id: str, label: str) -> pb.Block:
        """The block of this label in the agent's memory.

        Raises: NotFound.

            block = client.blocks.find(agent.id, "human")
            block.value = "Name: Ann. Lives in Lisbon."
            client.blocks.update(block, "value")
        """
        request = pb.GetAgentRequest(agent_id=agent_id)
        agent = (self._transport.unary(_SERVICE + "GetAgent", request, pb.GetAgentResponse)).agent
        for block in agent.blocks:
            if block.label == label:
                return block
        raise NotFound("block", label)

    def list(self, *, label: str = "", shared: bool = False) -> Iterator[pb.Block]:
        """All of the user's blocks, oldest first; `shared`: those that its account shares with it."""
        request = pb.ListBlocksRequest(label=label, shared=shared, page_size=100)
        while True:
            page = self._transport.unary(_SERVICE + "ListBlocks", request, pb.ListBlocksResponse)
            for block in page.blocks:
                yield block
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    def update(self, block: pb.Block, *fields: str, request_id: str | None = None) -> pb.Block:
        """Writes the named fields of `block`; if its etag is set, only over that very version.

        Raises: NotFound, InvalidArgument, Aborted ETAG_MISMATCH, FailedPrecondition BLOCK_READ_ONLY.

            block.value += "\\nLikes tea."
            block = client.blocks.update(block, "value")
            for revision in client.blocks.history(block.id):
                print(revision.revision, revision.edited_by)
        """
        request = pb.UpdateBlockRequest(
            block=block, update_mask=FieldMask(paths=fields), request_id=request_id or str(uuid.uuid4())
        )
        return (self._transport.unary(_SERVICE + "UpdateBlock", request, pb.UpdateBlockResponse)).block

    def delete(self, block_id: str, *, request_id: str | None = None) -> None:
        """Raises: NotFound."""
        request = pb.DeleteBlockRequest(block_id=block_id, request_id=request_id or str(uuid.uuid4()))
        self._transport.unary(_SERVICE + "DeleteBlock", request, pb.DeleteBlockResponse)

    def attach(self, agent_id: str, block_id: str) -> pb.Agent:
        """Raises: NotFound, AlreadyExists for a second block of that label."""
        request = pb.AttachBlockRequest(agent_id=agent_id, block_id=block_id, request_id=str(uuid.uuid4()))
        return (self._transport.unary(_SERVICE + "AttachBlock", request, pb.AttachBlockResponse)).agent

    def detach(self, agent_id: str, block_id: str) -> pb.Agent:
        """Raises: NotFound."""
        request = pb.DetachBlockRequest(agent_id=agent_id, block_id=block_id, request_id=str(uuid.uuid4()))
        return (self._transport.unary(_SERVICE + "DetachBlock", request, pb.DetachBlockResponse)).agent

    def history(self, block_id: str) -> Iterator[pb.BlockRevision]:
        """Every value the block has had, newest first, and who wrote it. Raises: NotFound."""
        request = pb.ListBlockRevisionsRequest(block_id=block_id, page_size=100)
        while True:
            page = self._transport.unary(_SERVICE + "ListBlockRevisions", request, pb.ListBlockRevisionsResponse)
            for revision in page.revisions:
                yield revision
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    def as_of(self, block_id: str, time: datetime) -> pb.BlockRevision:
        """What the block held at a time; one without a zone is UTC. Raises: NotFound, also before it was made."""
        request = pb.GetBlockAsOfRequest(block_id=block_id, time=_timestamp(time))
        return (self._transport.unary(_SERVICE + "GetBlockAsOf", request, pb.GetBlockAsOfResponse)).revision

    def all_as_of(self, agent_id: str, time: datetime) -> Sequence[pb.BlockAsOf]:
        """An agent's whole core memory as it stood at a time, without blocks deleted since. Raises: NotFound."""
        request = pb.GetCoreMemoryAsOfRequest(agent_id=agent_id, time=_timestamp(time))
        method = _SERVICE + "GetCoreMemoryAsOf"
        return (self._transport.unary(method, request, pb.GetCoreMemoryAsOfResponse)).blocks

    def diff(self, block_id: str, from_revision: int = 0, to_revision: int = 0) -> str:
        """A unified diff. `to_revision`: 0 is the newest. `from_revision`: 0 is the one before it. Raises: NotFound."""
        request = pb.DiffBlockRevisionsRequest(block_id=block_id, from_revision=from_revision, to_revision=to_revision)
        method = _SERVICE + "DiffBlockRevisions"
        return (self._transport.unary(method, request, pb.DiffBlockRevisionsResponse)).diff

    def undo(self, block_id: str, revision: int, *, request_id: str | None = None) -> pb.Block:
        """Takes back what one revision changed, as a new revision; later edits of other lines stay.

        Raises: NotFound; FailedPrecondition if a later edit has changed the same lines.
        """
        request = pb.UndoBlockRevisionRequest(
            block_id=block_id, revision=revision, request_id=request_id or str(uuid.uuid4())
        )
        method = _SERVICE + "UndoBlockRevision"
        return (self._transport.unary(method, request, pb.UndoBlockRevisionResponse)).block


def _timestamp(time: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(time if time.tzinfo else time.replace(tzinfo=UTC))
    return made
