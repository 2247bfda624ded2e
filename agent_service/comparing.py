"""Compares two texts line by line, in bounded time: texts can be made that difflib alone would compare for hours."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# difflib looks at all pairs of equal lines, at worst once for each line: of so many looks a quarter of a second.
_MOST_LOOKS = 20_000_000
_CONTEXT = 3


@dataclass(frozen=True)
class Change:
    """Lines `start` to `end` of the old text became lines `new_start` to `new_end` of the new one."""

    start: int
    end: int
    new_start: int
    new_end: int


def changes(old: Sequence[str], new: Sequence[str]) -> list[Change]:
    """What differs, in order; one change for all if it is more than can be compared line by line."""
    same = _same(old, new)
    behind = _same(old[same:][::-1], new[same:][::-1])
    old, new = old[same : len(old) - behind], new[same : len(new) - behind]
    if not old and not new:
        return []
    if _looks(old, new) > _MOST_LOOKS:
        return [Change(same, same + len(old), same, same + len(new))]
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    return [
        Change(same + start, same + end, same + new_start, same + new_end)
        for kind, start, end, new_start, new_end in matcher.get_opcodes()
        if kind != "equal"
    ]


def unified(old: Sequence[str], new: Sequence[str], old_name: str, new_name: str) -> str:
    """A unified diff; '' for texts that are the same."""
    lines: list[str] = []
    for group in _groups(changes(old, new)):
        first, last = group[0], group[-1]
        before, after = min(_CONTEXT, first.start), min(_CONTEXT, len(old) - last.end)
        at, end = first.start - before, last.end + after
        lines.append(f"@@ -{_range(at, end)} +{_range(first.new_start - before, last.new_end + after)} @@")
        for change in group:
            lines += [f" {line}" for line in old[at : change.start]]
            lines += [f"-{line}" for line in old[change.start : change.end]]
            lines += [f"+{line}" for line in new[change.new_start : change.new_end]]
            at = change.end
        lines += [f" {line}" for line in old[at:end]]
    return "\n".join([f"--- {old_name}", f"+++ {new_name}", *lines]) if lines else ""


def _groups(made: Sequence[Change]) -> Iterator[list[Change]]:
    """Those whose context would touch, together."""
    group: list[Change] = []
    for change in made:
        if group and change.start - group[-1].end > 2 * _CONTEXT:
            yield group
            group = []
        group.append(change)
    if group:
        yield group


def _range(start: int, end: int) -> str:
    """As GNU diff has it: https://www.gnu.org/software/diffutils/manual/html_node/Detailed-Unified.html."""
    length = end - start
    return str(start + 1) if length == 1 else f"{start + 1 if length else start},{length}"


def _looks(old: Sequence[str], new: Sequence[str]) -> int:
    """How many looks difflib may take at worst."""
    often, pairs = Counter(new), 0
    for line, times in Counter(old).items():
        pairs += times * often[line]
    return (pairs + min(len(old), len(new))) * min(len(old), len(new))


def _same(one: Sequence[str], other: Sequence[str]) -> int:
    """How many lines they begin with alike."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
