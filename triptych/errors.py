"""What can go wrong, as one tree that every service raises, the SDK raises again and the REST edge maps.

    TriptychError
    ├── InvalidArgument      a field's value can't be accepted
    ├── NotFound             no such resource, or another user's: the two are never told apart
    ├── AlreadyExists        an id, a name or a request_id is taken
    ├── FailedPrecondition   the state of things does not allow it
    ├── Aborted              lost against somebody else: read again and retry
    ├── Unauthenticated      no key, or one that is not known
    ├── PermissionDenied     the key's kind does not allow it
    ├── ResourceExhausted    a limit was met
    ├── DeadlineExceeded     time was used up
    ├── Cancelled            somebody stopped it
    ├── Unavailable          a tier or a model can't be reached: retry later
    ├── Unimplemented        this server does not have it
    └── Internal             a fault of ours; the message carries an incident id

Each has a `reason`, a value of `triptych.type.v1.ErrorReason` that says more than the class does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from triptych.type.v1 import type_pb2
from triptych.type.v1.type_pb2 import ErrorReason

DOMAIN = "triptych.dev"
_PREFIX = "ERROR_REASON_"
_DETAILS_KEY = "grpc-status-details-bin"
# An error goes as gRPC metadata, twice, once percent-encoded; over 8 KiB of that a client may drop the whole answer.
_MAX_MESSAGE_BYTES = 1500


class TriptychError(Exception):
    """Base of all errors. `message` is meant for people, `reason` for programs, `metadata` for both.

    `retry_seconds`: after how long it is worth trying again, or None if that is not known.
    """

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN
    http_status: ClassVar[int] = 500
    default_reason: ClassVar[ErrorReason.ValueType] = type_pb2.ERROR_REASON_UNSPECIFIED

    def __init__(
        self,
        message: str,
        *,
        reason: ErrorReason.ValueType | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retry_seconds = retry_seconds
        self.reason: ErrorReason.ValueType = self.default_reason if reason is None else reason
        self.metadata = dict(metadata or {})

    @property
    def reason_name(self) -> str:
        """The reason as ErrorInfo carries it: `NOT_FOUND`, `BLOCK_OVER_LIMIT`, …"""
        return ErrorReason.Name(self.reason).removeprefix(_PREFIX)

    def to_status(self) -> status_pb2.Status:
        """The error as `google.rpc.Status` with one ErrorInfo, and a RetryInfo if it is known when to try again.

        A long message is cut.
        """
        info = error_details_pb2.ErrorInfo(reason=self.reason_name, domain=DOMAIN, metadata=self.metadata)
        detail = any_pb2.Any()
        detail.Pack(info)
        status = status_pb2.Status(code=self.code.value[0], message=_shortened(self.message), details=[detail])
        if self.retry_seconds is not None:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.FromNanoseconds(int(self.retry_seconds * 1e9))
            status.details.add().Pack(retry)
        return status


def _shortened(message: str) -> str:
    """As much of it as fits; it may quote what a caller sent."""
    encoded = message.encode(errors="replace")
    if len(encoded) <= _MAX_MESSAGE_BYTES:
        return message
    return encoded[:_MAX_MESSAGE_BYTES].decode(errors="ignore") + "…"


class InvalidArgument(TriptychError):
    code = grpc.StatusCode.INVALID_ARGUMENT
    http_status = 422
    default_reason = type_pb2.ERROR_REASON_INVALID_ARGUMENT

    @classmethod
    def of(cls, field: str, problem: str) -> InvalidArgument:
        """The usual form: which field, and what is wrong with it."""
        return cls(f"{field}: {problem}", metadata={"field": field})


class NotFound(TriptychError):
    """`NotFound("agent", agent_id)`. Raised for a foreign resource too, with the same words."""

    code = grpc.StatusCode.NOT_FOUND
    http_status = 404
    default_reason = type_pb2.ERROR_REASON_NOT_FOUND

    def __init__(
        self,
        resource: str,
        resource_id: str = "",
        *,
        reason: ErrorReason.ValueType | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        message = f"{resource.capitalize()} with ID {resource_id} not found" if resource_id else resource
        super().__init__(message, reason=reason, metadata=metadata)


class AlreadyExists(TriptychError):
    code = grpc.StatusCode.ALREADY_EXISTS
    http_status = 409
    default_reason = type_pb2.ERROR_REASON_ALREADY_EXISTS


class FailedPrecondition(TriptychError):
    code = grpc.StatusCode.FAILED_PRECONDITION
    http_status = 422
    default_reason = type_pb2.ERROR_REASON_FAILED_PRECONDITION


class Aborted(TriptychError):
    code = grpc.StatusCode.ABORTED
    http_status = 409
    default_reason = type_pb2.ERROR_REASON_CONVERSATION_BUSY


class Unauthenticated(TriptychError):
    code = grpc.StatusCode.UNAUTHENTICATED
    http_status = 401
    default_reason = type_pb2.ERROR_REASON_UNAUTHENTICATED


class PermissionDenied(TriptychError):
    code = grpc.StatusCode.PERMISSION_DENIED
    http_status = 403
    default_reason = type_pb2.ERROR_REASON_PERMISSION_DENIED


class ResourceExhausted(TriptychError):
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    http_status = 429
    default_reason = type_pb2.ERROR_REASON_LIMIT_EXCEEDED


class DeadlineExceeded(TriptychError):
    code = grpc.StatusCode.DEADLINE_EXCEEDED
    http_status = 504
    default_reason = type_pb2.ERROR_REASON_DEADLINE_EXCEEDED


class Cancelled(TriptychError):
    code = grpc.StatusCode.CANCELLED
    http_status = 499
    default_reason = type_pb2.ERROR_REASON_CANCELLED


class Unavailable(TriptychError):
    code = grpc.StatusCode.UNAVAILABLE
    http_status = 503
    default_reason = type_pb2.ERROR_REASON_UNAVAILABLE


class Unimplemented(TriptychError):
    code = grpc.StatusCode.UNIMPLEMENTED
    http_status = 501
    default_reason = type_pb2.ERROR_REASON_UNIMPLEMENTED


class Internal(TriptychError):
    code = grpc.StatusCode.INTERNAL
    http_status = 500
    default_reason = type_pb2.ERROR_REASON_INTERNAL


_BY_CODE: dict[int, type[TriptychError]] = {
    cls.code.value[0]: cls
    for cls in (
        InvalidArgument,
        NotFound,
        AlreadyExists,
        FailedPrecondition,
        Aborted,
        Unauthenticated,
        PermissionDenied,
        ResourceExhausted,
        DeadlineExceeded,
        Cancelled,
        Unavailable,
        Unimplemented,
        Internal,
    )
}


def from_status(
    code: int,
    message: str,
    *,
    reason_name: str = "",
    metadata: Mapping[str, str] | None = None,
) -> TriptychError:
    """The error of that gRPC code number; an unknown code or reason gives the nearest there is."""
    cls = _BY_CODE.get(code, Internal)
    reason: ErrorReason.ValueType | None = None
    if _PREFIX + reason_name in ErrorReason.DESCRIPTOR.values_by_name:
        reason = ErrorReason.Value(_PREFIX + reason_name)
    if cls is NotFound:
        return NotFound(message, reason=reason, metadata=metadata)
    return cls(message, reason=reason, metadata=metadata)


def from_rpc_error(error: Any) -> TriptychError:
    """A failed call (grpc.RpcError of either API) as the error that the service raised; it stays as its cause.

    The caller writes `raise from_rpc_error(error) from error`.
    """
    for key, value in error.trailing_metadata() or ():
        if key != _DETAILS_KEY or not isinstance(value, bytes):
            continue
        status, info = status_pb2.Status(), error_details_pb2.ErrorInfo()
        try:
            status.ParseFromString(value)
            if status.details and status.details[0].Unpack(info):
                found = from_status(status.code, status.message, reason_name=info.reason, metadata=dict(info.metadata))
                found.retry_seconds = _retry_seconds(status)
                return found
        except DecodeError:
            break
    return from_status(error.code().value[0], error.details() or error.code().name)


def _retry_seconds(status: status_pb2.Status) -> float | None:
    retry = error_details_pb2.RetryInfo()
    for detail in status.details[1:]:
        if detail.Unpack(retry):
            return float(retry.retry_delay.ToNanoseconds()) / 1e9
    return None
