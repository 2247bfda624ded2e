"""Search over tools, by the words of their names and descriptions."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from fastapi import Response
from pydantic import Field

from gateway.rest.agents import Known
from gateway.rest.common import answer
from gateway.rest.endpoints import Router
from gateway.rest.forms import Json
from gateway.rest.schemas import Body

router = Router(prefix="/v1/tools", tags=["tools"])

_WORD = re.compile(r"[a-z0-9]+")
# A word in the name says more of a tool than one in its description.
_NAME_WEIGHT = 3.0


class ToolSearch(Body):
    """A user has too few tools for meanings to matter: every mode searches for words. No query: every tool."""

    query: str | None = Field(default=None, max_length=10_000)
    search_mode: Literal["vector", "fts", "hybrid"] = "hybrid"
    tool_types: list[str] | None = None
    tags: list[str] | None = None
    limit: int = Field(default=50, ge=1, le=100)


@router.post("/search")
async def search_tools(body: ToolSearch, known: Known) -> Response:
    tools = [
        tool
        for tool in (await known.tools()).values()
        if (not body.tool_types or tool["tool_type"] in body.tool_types)
        and (not body.tags or set(body.tags) & set(tool["tags"]))
    ]
    ranked = _ranked(tools, body.query or "")
    return answer([_hit(rank, *hit) for rank, hit in enumerate(ranked[: body.limit], 1)])


def _ranked(tools: Sequence[Json], query: str) -> list[tuple[float, Json]]:
    """Best first: a word of the query that a tool has counts the more, the fewer tools have it (idf, Spärck Jones)."""
    words = set(_words(query))
    if not words:
        return [(0.0, tool) for tool in tools]
    named = [set(_words(tool["name"])) for tool in tools]
    described = [set(_words(tool["description"] or "")) for tool in tools]
    have = Counter(word for of_tool in zip(named, described, strict=True) for word in set.union(*of_tool) & words)
    weight = {word: math.log(1 + len(tools) / count) for word, count in have.items()}
    scores = [
        sum(weight[word] * (_NAME_WEIGHT if word in name else 1.0) for word in words & (name | description))
        for name, description in zip(named, described, strict=True)
    ]
    found = [(score, tool) for score, tool in zip(scores, tools, strict=True) if score > 0]
    return sorted(found, key=lambda hit: -hit[0])


def _words(text: str) -> list[str]:
    """Lower case, without the `s` of a plural."""
    return [word.removesuffix("s") or word for word in _WORD.findall(text.lower())]


def _hit(rank: int, score: float, tool: Json) -> Json:
    text = f"{tool['name']}: {tool['description'] or ''}"
    return {"tool": tool, "combined_score": score, "fts_rank": rank, "vector_rank": None, "embedded_text": text}
