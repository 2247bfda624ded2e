# Generated from triptych/sdk/aio by scripts/generate_sync.py: change it there.
"""Whom agents and blocks are about or for, by the program's own keys."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from triptych.agent.v1 import identity_pb2 as pb
from triptych.sdk.sync.transport import Transport
from triptych.sdk.said import struct

_SERVICE = "/triptych.agent.v1.IdentityService/"


class Identities:
    """`client.identities`: labels of agents and blocks. They are no wall: for that, make users."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        identifier_key: str,
        name: str,
        *,
        type: pb.IdentityType.ValueType = pb.IDENTITY_TYPE_USER,
        properties: Mapping[str, Any] | None = None,
        agent_ids: Sequence[str] = (),
        block_ids: Sequence[str] = (),
        request_id: str | None = None,
    ) -> pb.Identity:
        """`identifier_key`: your own, unique.

        Raises: InvalidArgument, AlreadyExists, NotFound for an agent or block.

            ann = client.identities.create("customer-17", "Ann", agent_ids=[agent.id])
        """
        identity = pb.Identity(
            identifier_key=identifier_key,
            name=name,
            type=type,
            properties=struct(properties),
            agent_ids=agent_ids,
            block_ids=block_ids,
        )
        request = pb.CreateIdentityRequest(identity=identity, request_id=request_id or str(uuid.uuid4()))
        return (self._transport.unary(_SERVICE + "CreateIdentity", request, pb.CreateIdentityResponse)).identity

    def get(self, identity_id: str) -> pb.Identity:
        """Raises: NotFound."""
        request = pb.GetIdentityRequest(identity_id=identity_id)
        return (self._transport.unary(_SERVICE + "GetIdentity", request, pb.GetIdentityResponse)).identity

    def list(self, *, identifier_key: str = "", name_contains: str = "") -> Iterator[pb.Identity]:
        """Newest first, page by page as they are read; by key exactly, or by a part of the name.

        Raises: InvalidArgument.

            for found in client.identities.list(identifier_key="customer-17"):
                print(found.agent_ids)
        """
        request = pb.ListIdentitiesRequest(identifier_key=identifier_key, name_contains=name_contains, page_size=100)
        while True:
            page = self._transport.unary(_SERVICE + "ListIdentities", request, pb.ListIdentitiesResponse)
            for identity in page.identities:
                yield identity
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    def count(self) -> int:
        request = pb.CountIdentitiesRequest()
        return (self._transport.unary(_SERVICE + "CountIdentities", request, pb.CountIdentitiesResponse)).count

    def update(self, identity: pb.Identity, *fields: str, request_id: str | None = None) -> pb.Identity:
        """Writes the named fields of `identity`. Raises: NotFound, InvalidArgument, AlreadyExists."""
        request = pb.UpdateIdentityRequest(
            identity=identity, update_mask=FieldMask(paths=fields), request_id=request_id or str(uuid.uuid4())
        )
        return (self._transport.unary(_SERVICE + "UpdateIdentity", request, pb.UpdateIdentityResponse)).identity

    def upsert(self, identity: pb.Identity, *fields: str, request_id: str | None = None) -> pb.Identity:
        """Makes it, or writes the named fields of the one with its `identifier_key`. Raises: InvalidArgument."""
        request = pb.UpsertIdentityRequest(
            identity=identity, update_mask=FieldMask(paths=fields), request_id=request_id or str(uuid.uuid4())
        )
        return (self._transport.unary(_SERVICE + "UpsertIdentity", request, pb.UpsertIdentityResponse)).identity

    def delete(self, identity_id: str) -> None:
        """Deletes it; the agents and blocks that had it stay. Raises: NotFound."""
        request = pb.DeleteIdentityRequest(identity_id=identity_id, request_id=str(uuid.uuid4()))
        self._transport.unary(_SERVICE + "DeleteIdentity", request, pb.DeleteIdentityResponse)

    def attach(self, identity_id: str, *, agent_id: str = "", block_id: str = "") -> pb.Identity:
        """Gives it to an agent, or to a block. Raises: NotFound, InvalidArgument unless it is one of the two."""
        request = pb.AttachIdentityRequest(identity_id=identity_id, request_id=str(uuid.uuid4()))
        _name(request, agent_id, block_id)
        return (self._transport.unary(_SERVICE + "AttachIdentity", request, pb.AttachIdentityResponse)).identity

    def detach(self, identity_id: str, *, agent_id: str = "", block_id: str = "") -> pb.Identity:
        """Takes it from an agent, or from a block. Raises: NotFound, InvalidArgument unless it is one of the two."""
        request = pb.DetachIdentityRequest(identity_id=identity_id, request_id=str(uuid.uuid4()))
        _name(request, agent_id, block_id)
        return (self._transport.unary(_SERVICE + "DetachIdentity", request, pb.DetachIdentityResponse)).identity


def _name(request: pb.AttachIdentityRequest | pb.DetachIdentityRequest, agent_id: str, block_id: str) -> None:
    if agent_id:
        request.agent_id = agent_id
    if block_id:
        request.block_id = block_id
