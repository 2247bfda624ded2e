# Generated from triptych/sdk/aio by scripts/generate_sync.py: change it there.
"""One connection to the gateway: key, deadlines, retries, errors of our tree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from triptych.errors import from_rpc_error

Response = TypeVar("Response", bound=Message)

# Every write carries a request_id, so one that may not have arrived can be sent again.
_SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 3,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]
_STREAM_SECONDS = 3600.0


class Transport:
    """`secure`: TLS with the system's certificates. `timeout_seconds`: of a call that is not a stream."""

    def __init__(self, address: str, api_key: str, user: str | None, secure: bool, timeout_seconds: float) -> None:
        if secure:
            self._channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(), options=_OPTIONS)
        else:
            self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        self._metadata = (("authorization", f"Bearer {api_key}"), *((("triptych-user", user),) if user else ()))
        self.timeout_seconds = timeout_seconds

    def unary(self, path: str, request: Message, response_type: type[Response]) -> Response:
        """Calls `/package.Service/Method`. Raises: triptych.errors.TriptychError."""
        call: Any = self._channel.unary_unary(path, type(request).SerializeToString, response_type.FromString)
        try:
            response: Response = call(request, metadata=self._metadata, timeout=self.timeout_seconds)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        return response

    def stream(self, path: str, request: Message, response_type: type[Response]) -> Iterator[Response]:
        """The same for a method that answers with a stream; leaving the loop cancels the call."""
        method: Any = self._channel.unary_stream(path, type(request).SerializeToString, response_type.FromString)
        call: Any = method(request, metadata=self._metadata, timeout=_STREAM_SECONDS)
        try:
            for response in call:
                yield response
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        finally:
            call.cancel()

    def exchange(
        self, path: str, requests: Iterator[Message], response_type: type[Response]
    ) -> Iterator[Response]:
        """The same for a method that takes a stream too."""
        method: Any = self._channel.stream_stream(
            path, lambda request: request.SerializeToString(), response_type.FromString
        )
        call: Any = method(requests, metadata=self._metadata, timeout=_STREAM_SECONDS)
        try:
            for response in call:
                yield response
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        finally:
            call.cancel()

    def close(self) -> None:
        self._channel.close()
