# Generated from triptych/sdk/aio by scripts/generate_sync.py: change it there.
"""One connection to the gateway: key, deadlines, retries, errors of our tree."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from triptych.errors import Unauthenticated, Unavailable, from_rpc_error
from triptych.sdk.sync.pause import pause

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
_TLS = "https://"
_STREAM_SECONDS = 3600.0
# How long a call is tried again while nobody answers at the address: as long as a gateway takes to start.
_START_SECONDS = 10.0
_PAUSE_SECONDS = 0.25


class Transport:
    """`secure`, or an address `https://host:port`: TLS with the system's certificates.

    `timeout_seconds`: of a call that is not a stream. Raises: Unauthenticated for what can't be a key.
    """

    def __init__(self, address: str, api_key: str, user: str | None, secure: bool, timeout_seconds: float) -> None:
        if not (api_key.isascii() and api_key.isprintable()):  # which no header can have
            raise Unauthenticated("the API key has characters that no key has: give it as it was shown")
        if secure or address.startswith(_TLS):
            address = address.removeprefix(_TLS)
            self._channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(), options=_OPTIONS)
        else:
            self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        self._metadata = (("authorization", f"Bearer {api_key}"), *_acting_for(user))
        self.timeout_seconds = timeout_seconds

    def unary(self, path: str, request: Message, response_type: type[Response]) -> Response:
        """Calls `/package.Service/Method`. Raises: triptych.errors.TriptychError."""
        call: Any = self._channel.unary_unary(path, type(request).SerializeToString, response_type.FromString)
        ends, away_until = time.monotonic() + self.timeout_seconds, time.monotonic() + _START_SECONDS
        nobody: Unavailable | None = None
        while True:
            try:
                response: Response = call(request, metadata=self._metadata, timeout=ends - time.monotonic())
                return response
            except grpc.RpcError as error:
                problem = from_rpc_error(error)
                if _answered(error) or not isinstance(problem, Unavailable):
                    raise (problem if _answered(error) else nobody or problem) from error
                nobody = problem
                if time.monotonic() + _PAUSE_SECONDS > min(ends, away_until):
                    raise nobody from error
            pause(_PAUSE_SECONDS)

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


def _answered(error: Any) -> bool:
    """Whether a server said this, and not the connection: our servers' errors all have details."""
    return any(key == "grpc-status-details-bin" for key, _ in error.trailing_metadata() or ())


def _acting_for(user: str | None) -> tuple[tuple[str, str | bytes], ...]:
    """Metadata is ASCII, and names need not be."""
    if not user:
        return ()
    return (("triptych-user", user),) if user.isascii() else (("triptych-user-bin", user.encode()),)
