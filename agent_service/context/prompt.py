"""The system message: instructions, the compiled blocks, open files. Its bytes change only when one of these changes.

It is kept as segments, one a block or file, so that of a prompt which is stored for later only what changed is new.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from xml.sax.saxutils import quoteattr

from cachetools import LRUCache

from agent_service.context import tokens
from agent_service.context.instructions import DEFAULT_INSTRUCTIONS
from triptych.agent.v1.agent_pb2 import Agent, Block, FileView

_CACHED_CHARACTERS = 32_000_000
# Even in a small window this much of each block is shown.
_LEAST_CHARACTERS = 100
_DEFAULT_SEGMENT = f"{DEFAULT_INSTRUCTIONS}\n\n"
_TOO_LONG = "this block is too long for the context. Move parts of it to archival memory."
_TOO_WORDY = "this description is too long for the context."
_TOO_LARGE = "there is no room for them. Open a smaller part."


@dataclass(frozen=True)
class Prompt:
    """`text`: the system message. `segments`: what it is joined from. Tokens are our estimate's."""

    segments: tuple[str, ...]

    # Joined whenever it is asked for: kept for thousands of agents, it would be most of what the process holds.
    @property
    def text(self) -> str:
        return "".join(self.segments)

    @cached_property
    def tokens(self) -> int:
        return tokens.of_text(self.text)

    @cached_property
    def memory_tokens(self) -> int:
        """Of blocks and files alone."""
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
        """`most_tokens`: what blocks and files may take; the longest are shown in part if they would take more."""
        open_files = [(view.document_id, view.start, view.end) for view in agent.open_files]
        made_of = (agent.system, most_tokens, [_made_of(block) for block in agent.blocks], open_files)
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
    if not agent.blocks and not agent.open_files:
        return Prompt((instructions(agent),))
    first = f"{agent.system}\n\n" if agent.system else _DEFAULT_SEGMENT
    return Prompt((first, *_memory(agent, _fitted(agent, most_tokens))))


def core_memory(agent: Agent) -> str:
    """All of its blocks and open files as the model would see them; '' if there are none."""
    return "".join(_memory(agent, None))


def _memory(agent: Agent, most: int | None) -> list[str]:
    """`most`: so many characters are shown of each value, description and file; None for all."""
    made = [_block(block, most) for block in agent.blocks]
    parts = ["<memory_blocks>\n", *(f"{block}\n" for block in made), "</memory_blocks>"] if made else []
    files = [_file(view, most) for view in agent.open_files]
    if files:
        parts += [
            "\n\n<open_files>\n" if parts else "<open_files>\n",
            *(f"{file}\n" for file in files),
            "</open_files>",
        ]
    return parts


def _file(view: FileView, most: int | None) -> str:
    part = quoteattr(f"{view.start}-{view.end} of {view.characters}")
    return f"<file name={quoteattr(view.file_name)} characters={part}>\n{_cut(view.text, most, _TOO_LARGE)}\n</file>"


def _block(block: Block, most: int | None) -> str:
    access = ' access="read-only"' if block.read_only else ""
    head = f"<block label={quoteattr(block.label)} used={quoteattr(f'{len(block.value)}/{block.limit}')}{access}>"
    described = _cut(block.description, most, _TOO_WORDY)
    description = f"<description>{described}</description>\n" if described else ""
    return f"{head}\n{description}<value>\n{_cut(block.value, most, _TOO_LONG)}\n</value>\n</block>"


def _fitted(agent: Agent, most_tokens: int | None) -> int | None:
    """The length to which the longest values, descriptions and files are cut so that all of them together fit."""
    if most_tokens is None or tokens.of_text("".join(_memory(agent, None))) <= most_tokens:
        return None
    texts = [text for block in agent.blocks for text in (block.value, block.description)]
    least, most = _LEAST_CHARACTERS, max(map(len, [*texts, *(view.text for view in agent.open_files)]))
    while least < most:
        middle = (least + most + 1) // 2
        if tokens.of_text("".join(_memory(agent, middle))) <= most_tokens:
            least = middle
        else:
            most = middle - 1
    return least


def _cut(value: str, most: int | None, advice: str) -> str:
    if most is None or len(value) <= most:
        return value
    return f"{value[:most]}\n[{len(value) - most:,} characters more are not shown: {advice}]"
