"""What an agent has on its desk: parts of files that stand in its context word for word."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agent_service import clock
from agent_service.store import Store
from agent_service.stores import open_files
from agent_service.tiers import Tiers
from servicekit.principal import Principal
from triptych.agent.v1.agent_pb2 import Agent, FileView
from triptych.archival.v1.archival_pb2 import Document, Passage
from triptych.errors import DeadlineExceeded, InvalidArgument, NotFound, Unavailable

MAX_CHARACTERS = 10_000
# Further into a file nobody can look: its passages are read from the first on, a thousand at a time.
_MAX_PAGES = 20


@dataclass(frozen=True)
class Desk:
    store: Store
    tiers: Tiers

    async def look(self, caller: Principal, document: Document, start: int, characters: int) -> FileView:
        """The part of the document's text. Raises: InvalidArgument for a part that there is none of."""
        length = characters or MAX_CHARACTERS
        if not 0 < length <= MAX_CHARACTERS:
            raise InvalidArgument.of("characters", f"must be 1 to {MAX_CHARACTERS:,}")
        if start < 0 or (start and start >= document.characters):
            raise InvalidArgument.of(
                "start", f"must be 0 to {max(0, document.characters - 1):,}, the file's last character"
            )
        end = min(start + length, document.characters)
        passages: list[Passage] = []
        token = ""
        for _ in range(_MAX_PAGES):
            page, token = await self.tiers.list_passages(caller, document.id, page_token=token)
            passages += [passage for passage in page if passage.source.end > start and passage.source.start < end]
            if not token or page[-1].source.start >= end:
                break
        return FileView(
            document_id=document.id,
            archive_id=document.archive_id,
            file_name=document.file_name,
            text=stitched(passages, start, end),
            start=start,
            end=end,
            characters=document.characters,
            open_time=clock.timestamp(clock.now()),
        )

    async def document(self, caller: Principal, agent: Agent, document_id: str) -> Document:
        """Raises: NotFound, also for one that is in none of the agent's archives."""
        document = await self.tiers.get_document(caller, document_id)
        if document.archive_id not in agent.archive_ids:
            raise NotFound("document", document_id)
        return document

    async def tidy(self, caller: Principal, agent: Agent) -> None:
        """Closes what the agent can no longer see: files that were deleted, or whose archive was taken from it."""
        if not agent.open_files:
            return
        there = await asyncio.gather(*(self._is_there(caller, agent, view) for view in agent.open_files))
        gone = [view.document_id for view, is_there in zip(agent.open_files, there, strict=True) if not is_there]
        if gone:
            tidied, _ = await self.store.write(
                lambda c: open_files.close(c, caller.tenant, agent.id, gone), alone=caller.tenant
            )
            take(agent, tidied.open_files)

    async def _is_there(self, caller: Principal, agent: Agent, view: FileView) -> bool:
        try:
            await self.document(caller, agent, view.document_id)
        except NotFound:
            return False
        except (Unavailable, DeadlineExceeded):  # nobody knows now: the turn goes on with what is open
            return True
        return True


def take(agent: Agent, views: Iterable[FileView]) -> None:
    """Has the agent in hand have these files open."""
    kept = list(views)
    del agent.open_files[:]
    agent.open_files.extend(kept)


def stitched(passages: Sequence[Passage], start: int, end: int) -> str:
    """The text from `start` to `end` of passages in order, which overlap, and leave out white space between them."""
    parts: list[str] = []
    at = start
    for passage in passages:
        first, last = passage.source.start, passage.source.end
        if last <= at:
            continue
        if first > at and parts:
            parts.append("\n\n")
        parts.append(passage.text[max(0, at - first) : max(0, end - first)])
        at = min(last, end)
    return "".join(parts)
