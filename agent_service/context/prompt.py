"""The system message: instructions, then the compiled blocks. Its bytes change only when one of these changes.

It is kept as segments, one a block, so that of a prompt which is stored for later only the block that changed is new.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from xml.sax.saxutils import quoteattr

from cachetools import LRUCache

from agent_service.context import tokens
from agent_service.context.instructions import DEFAULT_INSTRUCTIONS
from triptych.agent.v1.agent_pb2 import Agent, Block

_CACHED_CHARACTERS = 32_000_000
# Even in a small window this much of each block is shown.
_LEAST_CHARACTERS = 100


@dataclass(frozen=True)
class Prompt:
    """`text`: the system message. `segments`: what it is joined from. Tokens are our estimate's."""

    segments: tuple[str, ...]

    @cached_property
    def text(self) -> str:
        return "".join(self.segments)

    @cached_property
    def tokens(self) -> int:
        return tokens.of_text(self.text)

    @cached_property
    def memory_tokens(self) -> int:
        """Of the blocks alone."""
        return tokens.of_text("".join(self.segments[1:]))

    @cached_property
    def hashes(self) -> tuple[str, ...]:
        """Of each segment: SHA-256, hex."""
        return tuple(hashlib.sha256(segment.encode()).hexdigest() for segment in self.segments)


class Compiler:
    """Compiles prompts; an agent's last one is kept until what it is made of changes."""

    def __init__(self) -> None:
        self._last: LRUCache[str, tuple[object, Prompt]] = LRUCache(
            _CACHED_CHARACTERS, getsizeof=lambda entry: len(entry[1].text)
        )

    def compile(self, agent: Agent, most_tokens: int | None = None) -> Prompt:
        """`most_tokens`: what the blocks may take; the longest are shown in part if they would take more."""
        made_of = (agent.system, most_tokens, [_made_of(block) for block in agent.blocks])
        known = self._last.get(agent.id)
        if known is not None and known[0] == made_of:
            return known[1]
        prompt = compiled(agent, most_tokens)
        if len(prompt.text) < _CACHED_CHARACTERS:
            self._last[agent.id] = made_of, prompt
        return prompt


def _made_of(block: Block) -> tuple[str, str, str, int, bool]:
    return block.label, block.value, block.description, block.limit, block.read_only


def instructions(agent: Agent) -> str:
    return agent.system or DEFAULT_INSTRUCTIONS


def compiled(agent: Agent, most_tokens: int | None = None) -> Prompt:
    """As `Compiler.compile`, made anew."""
    if not agent.blocks:
        return Prompt((instructions(agent),))
    shown = _fitted(agent.blocks, most_tokens)
    return Prompt((f"{instructions(agent)}\n\n", *_memory(agent.blocks, shown)))


def core_memory(blocks: Sequence[Block]) -> str:
    """All of the blocks as the model would see them; '' if there are none."""
    return "".join(_memory(blocks, [block.value for block in blocks])) if blocks else ""


def _memory(blocks: Sequence[Block], shown: Sequence[str]) -> list[str]:
    made = [_block(block, value) for block, value in zip(blocks, shown, strict=True)]
    return ["<memory_blocks>\n", *(f"{block}\n" for block in made), "</memory_blocks>"]


def _block(block: Block, shown: str) -> str:
    access = ' access="read-only"' if block.read_only else ""
    head = f"<block label={quoteattr(block.label)} used={quoteattr(f'{len(block.value)}/{block.limit}')}{access}>"
    description = f"<description>{block.description}</description>\n" if block.description else ""
    return f"{head}\n{description}<value>\n{shown}\n</value>\n</block>"


def _fitted(blocks: Sequence[Block], most_tokens: int | None) -> list[str]:
    """Each block's value, the longest cut to a length at which all of them together fit."""
    values = [block.value for block in blocks]
    if most_tokens is None or tokens.of_text("".join(_memory(blocks, values))) <= most_tokens:
        return values
    least, most = _LEAST_CHARACTERS, max(map(len, values))
    while least < most:
        middle = (least + most + 1) // 2
        shown = [_cut(value, middle) for value in values]
        if tokens.of_text("".join(_memory(blocks, shown))) <= most_tokens:
            least = middle
        else:
            most = middle - 1
    return [_cut(value, least) for value in values]


def _cut(value: str, most: int) -> str:
    if len(value) <= most:
        return value
    return (
        f"{value[:most]}\n[{len(value) - most:,} characters more are not shown: this block is too long for the "
        "context. Move parts of it to archival memory.]"
    )
