"""Which texts of requests this process has stored before, so that a step writes only new ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

from cachetools import LRUCache

from agent_service.models.types import ToolSchema

_MOST_PLACES = 10_000
_MOST_TOOLS = 1_000


class KnownTexts:
    """Those of each place's newest request; a place is a conversation. One that comes again is written again, which
    changes nothing."""

    def __init__(self) -> None:
        self._known: LRUCache[str, frozenset[str]] = LRUCache(_MOST_PLACES)
        self._tools: LRUCache[str, tuple[str, str]] = LRUCache(_MOST_TOOLS)

    def of_tool(self, tool: ToolSchema) -> tuple[str, str]:
        """A tool's text as kept for replays, behind its hash."""
        made = self._tools.get(tool.text)
        if made is None:
            text = json.dumps([tool.name, tool.description, tool.parameters], ensure_ascii=False)
            made = self._tools[tool.text] = digest(text), text
        return made

    def new(self, place: str, texts: Mapping[str, str]) -> dict[str, str]:
        """Those that have to be written."""
        known = self._known.get(place, frozenset())
        return {name: text for name, text in texts.items() if name not in known}

    def stored(self, place: str, hashes: Iterable[str]) -> None:
        """`hashes`: of all texts of the place's newest request, which had new ones."""
        self._known[place] = frozenset(hashes)


def digest(text: str) -> str:
    """A text's name: SHA-256, hex."""
    return hashlib.sha256(text.encode()).hexdigest()
