# Generated from triptych/sdk/aio by scripts/generate_sync.py: change it there.
"""Model providers: endpoints with keys of your own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from triptych.agent.v1 import provider_pb2 as pb
from triptych.sdk.sync.transport import Transport

_SERVICE = "/triptych.agent.v1.ProviderService/"


class Providers:
    """`client.providers`. A client that acts for the account (`user=triptych.ACCOUNT`) makes them for all its users."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        name: str,
        base_url: str,
        api_key: str = "",
        *,
        models: Sequence[str] = (),
        default_model: str = "",
        is_default: bool = False,
        request_id: str | None = None,
    ) -> pb.Provider:
        """An OpenAI-compatible endpoint. Agents use it by the handle `NAME/model`; `NAME/` is its default model.

        `api_key` is kept encrypted and never shown again. `models`: those that may be used; () for all that it has.
        `is_default`: agents without a model of their own use it, in place of another one that was.
        Raises: InvalidArgument, AlreadyExists, FailedPrecondition.

            client.providers.create("groq", "https://api.groq.com/openai/v1", "gsk_...")
            agent = client.agents.create("ann", model="groq/llama-3.3-70b-versatile")
        """
        provider = pb.Provider(
            name=name,
            base_url=base_url,
            api_key=api_key,
            models=models,
            default_model=default_model,
            is_default=is_default,
        )
        request = pb.CreateProviderRequest(provider=provider, request_id=request_id or str(uuid.uuid4()))
        return (self._transport.unary(_SERVICE + "CreateProvider", request, pb.CreateProviderResponse)).provider

    def get(self, provider_id: str) -> pb.Provider:
        """Your own or your account's. Raises: NotFound."""
        request = pb.GetProviderRequest(provider_id=provider_id)
        return (self._transport.unary(_SERVICE + "GetProvider", request, pb.GetProviderResponse)).provider

    def list(self, *, shared: bool = False) -> Iterator[pb.Provider]:
        """Your own, or those that the account shares with you."""
        request = pb.ListProvidersRequest(page_size=100, shared=shared)
        while True:
            page = self._transport.unary(_SERVICE + "ListProviders", request, pb.ListProvidersResponse)
            for provider in page.providers:
                yield provider
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    def update(self, provider_id: str, *, request_id: str | None = None, **fields: Any) -> pb.Provider:
        """Sets name, base_url, api_key, models, default_model or is_default. A new base_url needs an api_key.

        Raises: NotFound, InvalidArgument, AlreadyExists, PermissionDenied for the account's.

            client.providers.update(provider.id, api_key="gsk_...")
        """
        request = pb.UpdateProviderRequest(
            provider=pb.Provider(id=provider_id, **fields),
            update_mask=FieldMask(paths=list(fields)),
            request_id=request_id or str(uuid.uuid4()),
        )
        return (self._transport.unary(_SERVICE + "UpdateProvider", request, pb.UpdateProviderResponse)).provider

    def delete(self, provider_id: str) -> None:
        """Raises: NotFound, PermissionDenied for the account's."""
        request = pb.DeleteProviderRequest(provider_id=provider_id, request_id=str(uuid.uuid4()))
        self._transport.unary(_SERVICE + "DeleteProvider", request, pb.DeleteProviderResponse)
