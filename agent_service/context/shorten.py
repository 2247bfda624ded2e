"""Makes a running turn fit when it alone is too long: what is sent of it is shortened, with marks that say so.

Recall keeps all of it. What was decided (`Cuts`) is kept for the turn's later steps, so that they begin with the same
bytes, and with each step, so that its request can be rebuilt.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from agent_service.context import tokens
from agent_service.models.messages import ChatMessage

# Of an old tool result this much stays, in characters.
_OLD_RESULT = 400
_LEAST = 10
# What is cut is cut to this part of the room, so that the next step need not cut again.
_REFILL = 0.7


@dataclass(frozen=True)
class Cuts:
    """What is left out of a turn. Positions are those of its rendered messages.

    `left_out`: a range of positions that one mark stands for. `most`: characters that a message's text, and each call's
    arguments, may have, by position. `longest`: the same for every message.
    """

    left_out: tuple[int, int] = (0, 0)
    most: dict[int, int] = field(default_factory=dict)
    longest: int | None = None

    def __bool__(self) -> bool:
        return self != _NONE

    def apply(self, turn: Sequence[ChatMessage]) -> list[ChatMessage]:
        """The turn as it is sent."""
        if not self:
            return list(turn)
        begin, end = self.left_out
        sent: list[ChatMessage] = []
        for position, message in enumerate(turn):
            if position == begin and begin < end:
                sent.append(_mark(end - begin))
            if begin <= position < end:
                continue
            limits = [most for most in (self.most.get(position), self.longest) if most is not None]
            sent.append(_shortened(message, min(limits)) if limits else message)
        return sent

    def cost(self, turn: Sequence[ChatMessage]) -> int:
        """Estimated tokens of the turn as it is sent."""
        return tokens.of_messages(self.apply(turn))

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Self:
        begin, end = kept["left_out"]
        return cls((begin, end), {int(position): most for position, most in kept["most"].items()}, kept["longest"])


_NONE = Cuts()


def fit(turn: Sequence[ChatMessage], before: Cuts, *, wanted: int, most: int) -> Cuts:
    """What to leave out of a turn so that it takes at most `most` tokens, and if tools alone are to blame `wanted`.

    `before`: what the step before left out; it stands as long as it is enough. Old tool results are shortened first,
    then old steps are left out, and only then what the user said and what the newest tools returned is cut.
    """
    if before.cost(turn) <= (wanted if not before else most):
        return before
    steps = [position for position, message in enumerate(turn) if message.get("tool_calls")]
    newest = steps[-1] if steps else len(turn)
    old = range(steps[0] if steps else newest, newest)
    cuts = Cuts(most={position: _OLD_RESULT for position in old if turn[position]["role"] == "tool"})
    if cuts.cost(turn) <= wanted * _REFILL:
        return cuts
    cuts = _without_steps(turn, steps, cuts, int(wanted * _REFILL))
    if cuts.cost(turn) <= most:
        return cuts
    cuts = _cut_evenly(turn, cuts, int(most * _REFILL))
    if cuts.cost(turn) <= most or not steps:
        return cuts
    return _cut_evenly(turn, Cuts(left_out=(steps[0], len(turn))), int(most * _REFILL))


def _without_steps(turn: Sequence[ChatMessage], steps: Sequence[int], cuts: Cuts, target: int) -> Cuts:
    """Leaves out as few of the oldest steps as will do; the newest stays."""

    def without(count: int) -> Cuts:
        return Cuts((steps[0], steps[count]) if count else (0, 0), cuts.most)

    count = _first(len(steps) - 1, lambda count: without(count).cost(turn) <= target)
    return without(count) if steps else cuts


def _cut_evenly(turn: Sequence[ChatMessage], cuts: Cuts, target: int) -> Cuts:
    """Cuts the longest texts to a length at which all together fit."""
    lengths = [_length(message) for message in turn]
    longest = max(lengths, default=_LEAST)

    def at(shorter_by: int) -> Cuts:
        return Cuts(cuts.left_out, cuts.most, max(_LEAST, longest - shorter_by))

    return at(_first(max(0, longest - _LEAST), lambda shorter_by: at(shorter_by).cost(turn) <= target))


def _first(last: int, holds: Callable[[int], bool]) -> int:
    """The least number from 0 to `last` for which something holds that goes on holding; `last` if there is none."""
    low, high = 0, max(0, last)
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _length(message: ChatMessage) -> int:
    calls = message.get("tool_calls") or ()
    return max(len(message.get("content") or ""), *(len(call["function"]["arguments"]) for call in calls), 0)


def _shortened(message: ChatMessage, most: int) -> ChatMessage:
    shortened = dict(message)
    if message.get("content"):
        shortened["content"] = _cut(message["content"], most)
    if message.get("tool_calls"):
        shortened["tool_calls"] = [_call(call, most) for call in message["tool_calls"]]
    return shortened


def _cut(text: str, most: int) -> str:
    """The beginning and the end of a text: what was asked often stands last. One that its mark would lengthen stays."""
    if len(text) <= most:
        return text
    tail = most // 4
    mark = f"\n[… {len(text) - most:,} characters not shown here; recall memory has them …]\n"
    cut = text[: most - tail] + mark + (text[-tail:] if tail else "")
    return cut if len(cut) < len(text) else text


def _call(call: dict[str, Any], most: int) -> dict[str, Any]:
    """A call whose arguments, if too long, say so: half of a JSON object would not be one."""
    function = call["function"]
    told = json.dumps({"not_shown": f"{len(function['arguments']):,} characters"})
    if len(function["arguments"]) <= max(most, len(told)):
        return call
    return {**call, "function": {**function, "arguments": told}}


def _mark(count: int) -> ChatMessage:
    return {
        "role": "system",
        "content": f"[{count} earlier messages of this turn (calls and their results) are not shown here.]",
    }
