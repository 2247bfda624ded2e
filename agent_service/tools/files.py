"""Files in the agent's archives: the tools that have parts of them in view, and find where something stands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence

from pydantic import Field

from agent_service.stores import open_files as views
from agent_service.tools import desk
from agent_service.tools.archival import place
from agent_service.tools.base import Arguments, CallContext, TierTool, ToolError
from agent_service.tools.desk import MAX_CHARACTERS, Desk
from triptych import archives
from triptych.agent.v1.agent_pb2 import FileView
from triptych.archival.v1.archival_pb2 import Document, Passage, SearchPassagesRequest

_MAX_FOUND = 20
_MAX_ALTERNATIVES = 8
_MAX_NAMES = 30
# Of one place that is found.
_MAX_SHOWN = 600


class Part(Arguments):
    file_name: str = Field(description="The file, by its whole name.")
    offset: int = Field(default=0, ge=0, description="The first character to see; a search says where things stand.")
    length: int = Field(default=MAX_CHARACTERS, ge=1, le=MAX_CHARACTERS, description="How many characters to see.")


class OpenFiles(Arguments):
    file_requests: list[Part] = Field(min_length=1, max_length=views.MAX_OPEN, description="What to open.")
    close_all_others: bool = Field(default=False, description="Closes all that was open before.")


class GrepFiles(Arguments):
    pattern: str = Field(
        min_length=1, description="The text to find, whatever its case; several with | between them. No other signs."
    )
    include: str | None = Field(default=None, description="Only files whose name has this in it.")
    context_lines: int = Field(default=1, ge=0, le=10, description="How many lines to see around the one found.")
    offset: int = Field(default=0, ge=0, description="How many finds to leave out, to go on with a search.")


class SearchFiles(Arguments):
    query: str = Field(min_length=1, description="What to look for: key words, or the question itself.")
    limit: int = Field(default=5, ge=1, le=20, description="How many places at the most.")


async def open_files(context: CallContext, args: OpenFiles) -> str:
    table = Desk(context.store, context.tiers)
    opened: list[FileView] = []
    for part in args.file_requests:
        document = await _named(context, part.file_name)
        opened.append(await table.look(context.caller, document, part.offset, part.length))
    tenant, close = context.caller.tenant, args.close_all_others
    agent, closed = await context.store.write(
        lambda c: views.put(c, tenant, context.agent.id, opened, close_others=close), alone=tenant
    )
    # The turn's own copy, from which the next request is made.
    desk.take(context.agent, agent.open_files)
    told = [f"{view.file_name} is open: characters {view.start} to {view.end} of {view.characters}." for view in opened]
    told += [f"{view.file_name} was closed." for view in closed]
    return " ".join(told)


async def grep_files(context: CallContext, args: GrepFiles) -> str:
    documents = [each for each in await _documents(context) if (args.include or "") in each.file_name]
    wanted = [each.strip() for each in args.pattern.split("|") if each.strip()]
    if not wanted or len(wanted) > _MAX_ALTERNATIVES:
        raise ToolError(f"Give 1 to {_MAX_ALTERNATIVES} texts to find.")
    if not documents:
        return "There are no such files."
    found: dict[tuple[str, int], dict[str, object]] = {}
    for text, passages in zip(wanted, await _with_each(context, documents, wanted), strict=True):
        for passage in passages:
            for at, lines in _places(passage, text, args.context_lines):
                where = {"file": place(passage.source), "at": at, "text": lines}
                found.setdefault((passage.source.file_name, at), where)
    ordered = [found[key] for key in sorted(found)]
    shown = ordered[args.offset : args.offset + _MAX_FOUND]
    if not shown:
        return "Nothing found."
    return json.dumps({"found": shown, "more": len(ordered) > args.offset + _MAX_FOUND}, ensure_ascii=False)


async def semantic_search_files(context: CallContext, args: SearchFiles) -> str:
    documents = await _documents(context)
    if not documents:
        return "There are no files."
    request = SearchPassagesRequest(
        archive_ids=archives.searched(context.agent),
        query=args.query,
        limit=args.limit,
        document_ids=[document.id for document in documents],
    )
    hits = await context.tiers.search_passages(context.caller, request)
    if not hits:
        return "Nothing found."
    found = [
        {"file": place(hit.passage.source), "at": hit.passage.source.start, "text": hit.passage.text} for hit in hits
    ]
    return json.dumps(found, ensure_ascii=False)


async def _documents(context: CallContext) -> Sequence[Document]:
    return await context.tiers.list_documents(context.caller, archives.searched(context.agent))


async def _named(context: CallContext, file_name: str) -> Document:
    """Raises: ToolError that says which files there are."""
    found = await context.tiers.list_documents(context.caller, archives.searched(context.agent), file_name=file_name)
    if found:
        return found[0]
    names = [document.file_name for document in await _documents(context)]
    known = ", ".join(names[:_MAX_NAMES]) + (", …" if len(names) > _MAX_NAMES else "")
    raise ToolError(f"There is no file {file_name[:200]}. There are: {known}." if names else "There are no files.")


async def _with_each(
    context: CallContext, documents: Sequence[Document], wanted: Sequence[str]
) -> list[Sequence[Passage]]:
    """For each text, the first passages that have it."""
    document_ids = [document.id for document in documents]
    pages = await asyncio.gather(
        *(context.tiers.list_passages(context.caller, *document_ids, contains=text, size=200) for text in wanted)
    )
    return [passages for passages, _ in pages]


def _places(passage: Passage, wanted: str, context_lines: int) -> Iterator[tuple[int, str]]:
    """Where in the file the lines begin that have the text, and they with those around them."""
    lines = passage.text.split("\n")
    at = passage.source.start
    for number, line in enumerate(lines):
        inside = line.casefold().find(wanted.casefold())
        if inside >= 0:
            around = "\n".join(lines[max(0, number - context_lines) : number + context_lines + 1])
            yield at, around if len(around) <= _MAX_SHOWN else line[max(0, inside - _MAX_SHOWN // 2) :][:_MAX_SHOWN]
        at += len(line) + 1


TOOLS = (
    TierTool(
        "open_files",
        f"Has parts of files in view, word for word, from the next step on; at most {views.MAX_OPEN} files, of each "
        f"{MAX_CHARACTERS:,} characters. Opening a file that is open shows another part of it.",
        OpenFiles,
        open_files,
        writes=True,
    ),
    TierTool("grep_files", "Finds where a text stands in your files, word for word.", GrepFiles, grep_files),
    TierTool(
        "semantic_search_files",
        "Searches your files, by words and by meaning.",
        SearchFiles,
        semantic_search_files,
    ),
)
