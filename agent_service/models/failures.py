"""What goes wrong at a model's endpoint, as errors of ours."""

from __future__ import annotations

import re
from typing import Any

from triptych.errors import FailedPrecondition, TriptychError, Unavailable
from triptych.type.v1 import type_pb2

# As OpenAI, vLLM and llama.cpp say it; Anthropic, xAI, Gemini, Groq and TGI.
_OVERFLOW = re.compile(
    r"context_length_exceeded|context (length|size|window)|(prompt|input) is too long|maximum prompt length|"
    r"exceeds the maximum number of (input )?tokens|reduce the length of|`inputs` (tokens|must have)",
    re.IGNORECASE,
)
_BUSY = (408, 409, 429)
_MAX_QUOTED = 500


class CutOff(Unavailable):
    """The answer broke off in the middle: the same request may get a whole one."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"the model's endpoint hung up in the middle of its answer ({what})",
            reason=type_pb2.ERROR_REASON_MODEL_UNAVAILABLE,
        )


class Refused(FailedPrecondition):
    """The endpoint did not take the request. `told`: in its words."""

    def __init__(self, message: str, told: str) -> None:
        super().__init__(message, reason=type_pb2.ERROR_REASON_MODEL_REFUSED)
        self.told = told


class Failed(Unavailable):
    """The endpoint answered 5xx. `told`: in its words; some say there that a request is not to their liking."""

    def __init__(self, message: str, told: str) -> None:
        super().__init__(message, reason=type_pb2.ERROR_REASON_MODEL_UNAVAILABLE)
        self.told = told


class Throttled(Unavailable):
    """The endpoint works, and wants fewer requests."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason=type_pb2.ERROR_REASON_MODEL_UNAVAILABLE)


def of_status(status: int, told: str) -> TriptychError:
    """The error for an HTTP status. `told`: the endpoint's words."""
    short = told[:_MAX_QUOTED]
    if status == 429:
        return Throttled(f"the model's endpoint answered 429: {short}")
    if _OVERFLOW.search(told):
        return FailedPrecondition(
            f"the conversation does not fit the model's context window: {short}",
            reason=type_pb2.ERROR_REASON_CONTEXT_OVERFLOW,
        )
    if status in _BUSY or status >= 500:
        return Failed(f"the model's endpoint answered {status}: {short}", told)
    return Refused(f"the model's endpoint refused the request with {status}: {short}", told)


def in_stream(error: Any) -> TriptychError:
    """The error for one that comes as an event of the answer, because its status was sent before."""
    said = error if isinstance(error, dict) else {}
    told, code = str(said.get("message") or error), said.get("code")
    if _OVERFLOW.search(str(error)):
        return of_status(400, told if _OVERFLOW.search(told) else str(error))
    if isinstance(code, int) and 400 <= code < 500 and code not in _BUSY:
        return of_status(code, told)
    return CutOff(f"it says: {told[:_MAX_QUOTED]}")


def hung_up(error: Exception) -> Unavailable:
    """The error for a connection that was not made, or broke before the answer began."""
    return Unavailable(
        f"the model's endpoint can't be reached, or hung up ({type(error).__name__})",
        reason=type_pb2.ERROR_REASON_MODEL_UNAVAILABLE,
    )


def garbage(what: str) -> Unavailable:
    """The error for an answer that is not in the OpenAI format."""
    return Unavailable(f"the model's answer can't be read: {what}", reason=type_pb2.ERROR_REASON_MODEL_GARBAGE)


def filtered() -> FailedPrecondition:
    """The error for an answer of which the endpoint's content filter left nothing."""
    return FailedPrecondition(
        "the endpoint's content filter withheld the model's answer", reason=type_pb2.ERROR_REASON_MODEL_REFUSED
    )


def not_configured(message: str) -> FailedPrecondition:
    return FailedPrecondition(message, reason=type_pb2.ERROR_REASON_MODEL_NOT_CONFIGURED)
