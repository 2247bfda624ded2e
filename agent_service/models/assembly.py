"""Puts an answer together from the chunks of a stream.

Chunks are read as the plain dictionaries that they are: typed ones would cost more than a turn.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from agent_service.characters import Halves, whole
from agent_service.models import arguments
from agent_service.models.failures import CutOff, filtered, garbage, in_stream
from agent_service.models.streaming import Holder, Thinking, without_beginning
from agent_service.models.types import CalledTool, Deltas, ModelAnswer, ModelUsage
from servicekit import ids

# Of text, thoughts and arguments together: no more than recall keeps of one message.
MAX_ANSWER_BYTES = 1024 * 1024
MAX_CALLS = 128
_MOST_TOKENS = 1e9


class Assembly:
    """`add` each chunk, then take the `answer`.

    `names`: of the tools that the model may call by writing so; such text is held back from `deltas` until `release`.
    `begun`: the model's template has begun its thoughts for it (DeepSeek-R1's does), so that only their end will come.
    """

    def __init__(self, deltas: Deltas | None, names: Sequence[str] = (), *, begun: bool = False) -> None:
        self._deltas = deltas
        self._thinking = Thinking(begun=begun)
        # Whether the answer was of a model for which `begun` is right.
        self.began_in_thoughts = False
        self._holder = Holder(names)
        self._halves, self._halves_of_thoughts = Halves(), Halves()
        self._text: list[str] = []
        self._reasoning: list[str] = []
        # By the place that the endpoint gives, and how many calls came there before.
        self._calls: dict[tuple[int, int], dict[str, str]] = {}
        self._before: Counter[int] = Counter()
        self._usage = ModelUsage()
        self._finish_reason = ""
        self._size = 0

    def add(self, chunk: Any) -> None:
        """Raises: Unavailable MODEL_GARBAGE for what is no chunk, or too much; as failures.in_stream for an error."""
        if not isinstance(chunk, dict):
            raise garbage("a chunk of its stream is not an object")
        if error := chunk.get("error"):
            raise in_stream(error)
        try:
            if chunk.get("usage"):
                self._usage = read_usage(chunk["usage"])
            for choice in chunk.get("choices") or ():
                if choice.get("index"):  # one answer is wanted
                    continue
                self._finish_reason = str(choice.get("finish_reason") or self._finish_reason)[:100]
                self._add_delta(choice.get("delta") or choice.get("message") or {})
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
            raise garbage("a chunk of its stream is not in the OpenAI format") from None

    def _add_delta(self, delta: dict[str, Any]) -> None:
        thoughts, text = _said_in(delta.get("content") or delta.get("refusal") or "")
        if reasoning := delta.get("reasoning_content") or delta.get("reasoning") or thoughts:
            self._grow(reasoning)
            self._thought(self._halves_of_thoughts.feed(reasoning))
        if text:
            self._grow(text)
            self._said(*self._thinking.feed(self._halves.feed(text)))
        for position, part in enumerate(delta.get("tool_calls") or ()):
            self._add_call(part, position)
        if called := delta.get("function_call"):  # the older form, of one call
            self._add_call({"index": 0, "function": called}, 0)

    def _said(self, thoughts: str, text: str) -> None:
        if thoughts:
            self._thought(thoughts)
        if text:
            self._text.append(text)
            if self._deltas and (shown := self._holder.feed(text)):
                self._deltas.text(shown)

    def _thought(self, reasoning: str) -> None:
        self._reasoning.append(reasoning)
        if self._deltas and reasoning:
            self._deltas.reasoning(reasoning)

    def _add_call(self, part: dict[str, Any], position: int) -> None:
        index = part.get("index")
        place = index if isinstance(index, int) else position
        function = part.get("function") or {}
        call_id, name = str(part.get("id") or ""), str(function.get("name") or "")
        call = self._calls.get((place, self._before[place]))
        # Gemini's endpoint, for one, gives all calls of an answer the same place.
        if call is not None and name and call["name"] and call_id and call["id"] not in ("", call_id):
            self._before[place] += 1
            call = None
        if call is None:
            call = self._calls[place, self._before[place]] = {"id": "", "name": "", "arguments": ""}
        if len(self._calls) > MAX_CALLS:
            raise garbage(f"it has more than {MAX_CALLS} tool calls")
        call["id"], call["name"] = call_id or call["id"], call["name"] or name
        given = function.get("arguments") or ""
        written = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        self._grow(written)
        call["arguments"] += written

    def _grow(self, text: str) -> None:
        self._size += len(text.encode("utf-8", "surrogatepass"))
        if self._size > MAX_ANSWER_BYTES:
            raise garbage(f"it is longer than {MAX_ANSWER_BYTES:,} bytes")

    def answer(self) -> ModelAnswer:
        """Raises: Unavailable MODEL_GARBAGE if nothing at all came; CutOff; FailedPrecondition MODEL_REFUSED."""
        if not (self._text or self._calls or self._reasoning or self._finish_reason or self._size):
            raise garbage("it is empty")
        self._said(*self._thinking.feed(self._halves.end()))
        self._said(*self._thinking.end())
        self._thought(self._halves_of_thoughts.end())
        made = [call for _, call in sorted(self._calls.items())]
        if not self._finish_reason and not all(arguments.is_object(call["arguments"]) for call in made):
            raise CutOff("in a tool call")
        if self._finish_reason == "content_filter" and not (self._text or made):
            raise filtered()
        named = zip(_distinct([whole(call["id"]) for call in made]), made, strict=True)
        calls = [CalledTool(call_id, call["name"], call["arguments"]) for call_id, call in named]
        reasoning, text = self._split()
        return ModelAnswer(text, reasoning, calls, self._usage, self._finish_reason)

    def _split(self) -> tuple[str, str]:
        """Thoughts and text, also of an answer that turned out to begin in the middle of the former, or not to."""
        reasoning, text = "".join(self._reasoning), "".join(self._text)
        if self._thinking.begun_for_it:
            self.began_in_thoughts = self._thinking.closed or self._finish_reason == "length"
            return (reasoning, text) if self.began_in_thoughts else ("", reasoning + text)
        thoughts, said = without_beginning(text)
        self.began_in_thoughts = bool(thoughts)
        return reasoning + thoughts, said

    @property
    def is_whole(self) -> bool:
        """Whether the model has said that it is done."""
        return bool(self._finish_reason)

    def release(self) -> None:
        """Shows what was held back: it was no call."""
        if self._deltas and (shown := self._holder.end()):
            self._deltas.text(shown)


def _distinct(given: Sequence[str]) -> list[str]:
    """Ids of calls, one of our own for each that is missing or was given before: results are told apart by them."""
    return [call_id if call_id and call_id not in given[:at] else ids.new("call") for at, call_id in enumerate(given)]


def read_usage(usage: dict[str, Any]) -> ModelUsage:
    return ModelUsage(
        prompt=_count(usage.get("prompt_tokens")),
        completion=_count(usage.get("completion_tokens")),
        cached=_count((usage.get("prompt_tokens_details") or {}).get("cached_tokens")),
        reasoning=_count((usage.get("completion_tokens_details") or {}).get("reasoning_tokens")),
    )


def _count(reported: Any) -> int:
    return int(min(max(float(reported or 0), 0.0), _MOST_TOKENS))


def _said_in(content: Any) -> tuple[str, str]:
    """Thoughts and text of a delta's content, which with some endpoints (Mistral's) is a list of parts."""
    if isinstance(content, str):
        return "", content
    thoughts = [each.get("text") or "" for part in content for each in part.get("thinking") or ()]
    return "".join(thoughts), "".join(part.get("text") or "" for part in content)
