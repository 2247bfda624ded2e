"""A turn's events as OpenAI's completion, or as its chunks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import orjson

from gateway.rest.openai.form import error
from gateway.rest.turns import Finished, Started, TurnFailed
from triptych.agent.v1 import turn_pb2 as pb
from triptych.errors import TriptychError, Unavailable
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2

_DONE = b"data: [DONE]\n\n"
# What stands between two things that the agent said in one turn, before and after a tool call.
_BETWEEN = "\n"


def completion(finished: Finished, model: str) -> dict[str, Any]:
    """The turn as one answer: all that the agent said in it."""
    turn = finished.turn
    said = [message.text for message in finished.messages if _speaks(message)]
    return {
        "id": _id(turn.id),
        "object": "chat.completion",
        "created": turn.create_time.seconds,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": _BETWEEN.join(said), "refusal": None},
                "finish_reason": _finish_reason(turn),
                "logprobs": None,
            }
        ],
        "usage": _usage(turn.usage),
    }


async def stream(
    accepted: pb.TurnEvent, events: AsyncIterator[Started], model: str, *, usage: bool
) -> AsyncGenerator[bytes, None]:
    """The turn as server-sent events. `usage`: with a chunk of the turn's tokens, the last.

    Once it has begun, a failure is an event with `error`, which clients raise.
    """
    chunks = _Chunks(accepted, model)
    yield chunks.line(delta={"role": "assistant", "content": ""})
    try:
        async for response in events:
            event = response.event
            for delta in chunks.deltas(event):
                yield chunks.line(delta=delta)
            kind = event.WhichOneof("event")
            if kind in ("done", "approval_request"):  # a turn that waits has said all that it can for now
                for line in _end(chunks, getattr(event, kind).turn, usage=usage):
                    yield line
                return
        raise Unavailable("the server is stopping; the turn goes on: send the same Idempotency-Key again")
    except TriptychError as failure:
        yield _data(error(failure.http_status, failure.message))
        yield _DONE


def _end(chunks: _Chunks, turn: pb.Turn, *, usage: bool) -> list[bytes]:
    """Raises: TurnFailed."""
    if turn.HasField("error"):
        raise TurnFailed(turn.error)
    lines = [chunks.line(delta={}, finish=_finish_reason(turn))]
    if usage:
        lines.append(_data({**chunks.head, "choices": [], "usage": _usage(turn.usage)}))
    return [*lines, _DONE]


class _Chunks:
    """Knows what of which message has gone out."""

    def __init__(self, accepted: pb.TurnEvent, model: str) -> None:
        self.head = {
            "id": _id(accepted.turn_id),
            "object": "chat.completion.chunk",
            "created": accepted.accepted.turn.create_time.seconds,
            "model": model,
        }
        self._streamed: dict[str, str] = {}  # ids of messages whose text went out in pieces → their step
        self._spoken = ""  # the message that spoke last

    def line(self, *, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return _data({**self.head, "choices": [choice]})

    def deltas(self, event: pb.TurnEvent) -> list[dict[str, Any]]:
        """Raises: Unavailable if text that went out is void, since a step ran again after a crash."""
        kind = event.WhichOneof("event")
        if kind == "text_delta":
            piece = event.text_delta
            self._streamed[piece.message_id] = event.step_id
            return [{"content": self._behind(piece.message_id, piece.text)}]
        if kind == "reasoning_delta":
            return [{"reasoning_content": event.reasoning_delta.text}]
        if kind == "message" and _speaks(event.message) and event.message.id not in self._streamed:
            return [{"content": self._behind(event.message.id, event.message.text)}]
        if kind == "step_restarted" and event.step_restarted.step_id in self._streamed.values():
            raise Unavailable("the answer was begun anew after a crash: send the same Idempotency-Key again")
        return []

    def _behind(self, message_id: str, text: str) -> str:
        between = _BETWEEN if self._spoken not in ("", message_id) else ""
        self._spoken = message_id
        return between + text


def _speaks(message: Message) -> bool:
    return message.role == type_pb2.ROLE_ASSISTANT and bool(message.text)


def _id(turn_id: str) -> str:
    return "chatcmpl-" + turn_id.removeprefix("run-")


def _finish_reason(turn: pb.Turn) -> str:
    cut = turn.stop_reason in (pb.STOP_REASON_MAX_TOKENS, pb.STOP_REASON_MAX_STEPS)
    return "length" if cut else "stop"


def _usage(usage: pb.Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _data(content: Any) -> bytes:
    return b"data: " + orjson.dumps(content) + b"\n\n"
