"""Passages and documents out to a file and in again: a line of JSON each, as the contract's JSON.

A passage's line has its archive's name too. An archive's passages come first, and then its documents, each as the
`document` of its line.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from triptych.archival.v1 import archival_pb2 as pb
from triptych.cli.archival.adding import bar
from triptych.cli.archival.target import Target
from triptych.cli.errors import CommandError
from triptych.client import Triptych
from triptych.errors import AlreadyExists, NotFound

_BATCH = 200
# A message to the server has at most 4 MiB.
_BATCH_BYTES = 2 * 1024 * 1024
_COPIES = uuid.UUID("c0a5fd53-6a52-4a2c-8c5d-9a2f8a9d0f3e")


@dataclass
class Imported:
    """How many passages."""

    inserted: int = 0
    existing: int = 0


def export_to(triptych: Triptych, path: Path, archive_ids: Sequence[str]) -> int:
    """Writes the passages of these archives (none given: of all); gives how many. A file is there when all are in it.

    Raises: CommandError if the file can't be written.
    """
    names = {archive.id: archive.name for archive in triptych.archives.list()}
    wanted = archive_ids or list(names)
    unfinished = path.with_name(path.name + ".part")
    count = 0
    try:
        with bar() as progress, _open(unfinished, "wt", compressed=path.suffix == ".gz") as file:
            task = progress.add_task("exporting", total=triptych.archives.count(archive_ids), stage="passages")
            # One archive after the other: an import sends runs of one archive.
            for archive_id in wanted:
                for passage in triptych.archives.passages([archive_id]):
                    _write(file, {"archive": names.get(archive_id, ""), **MessageToDict(passage)})
                    count += 1
                    progress.update(task, completed=count)
                for document in triptych.documents.list([archive_id]):
                    if document.state == pb.DOCUMENT_STATE_COMPLETE:
                        _write(file, {"document": MessageToDict(document)})
        os.replace(unfinished, path)
    except OSError as error:
        raise CommandError(f"{path} can't be written: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def import_from(triptych: Triptych, path: Path, into: Target | None) -> Imported:
    """Inserts what `export_to` wrote: back where it was, or all into one archive, as copies with ids of their own.

    What is there already is left alone. Copies belong to no document. Raises: CommandError naming the line that is no
    passage.
    """
    imported = Imported()
    try:
        with bar() as progress, _open(path, "rt", compressed=path.suffix == ".gz") as file:
            task = progress.add_task("importing", total=None, stage="passages")
            for kind, lines in itertools.groupby(_numbered(file), key=type):
                if kind is pb.Document:
                    _restore(triptych, cast(Iterator[pb.Document], lines), into)
                    continue
                for batch in _batches(cast(Iterator[_Line], lines)):
                    _insert(triptych, batch, into, imported)
                    progress.update(task, completed=imported.inserted + imported.existing)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} can't be read: it is damaged, or no export") from error
    return imported


@dataclass(frozen=True)
class _Line:
    passage: pb.Passage
    archive_name: str
    size: int


def _write(file: IO[str], line: dict[str, Any]) -> None:
    file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _open(path: Path, mode: str, *, compressed: bool) -> IO[str]:
    open_it = gzip.open if compressed else open
    return cast(IO[str], open_it(path, mode, encoding="utf-8"))


def _numbered(file: IO[str]) -> Iterator[_Line | pb.Document]:
    for number, text in enumerate(file, start=1):
        if not text.strip():
            continue
        try:
            fields = json.loads(text)
            if "document" in fields:
                yield ParseDict(fields["document"], pb.Document(), ignore_unknown_fields=True)
                continue
            name = str(fields.pop("archive", ""))
            passage = ParseDict(fields, pb.Passage(), ignore_unknown_fields=True)
        except (ValueError, ParseError, AttributeError, RecursionError):
            raise CommandError(f"line {number:,} is no passage: what was before it is in, the rest is not") from None
        if not (passage.id and passage.archive_id):
            raise CommandError(f"line {number:,} is no passage of an export: it needs id and archiveId")
        yield _Line(passage, name, len(text))


def _batches(lines: Iterator[_Line]) -> Iterator[list[_Line]]:
    """Runs of one archive, which one message can hold."""
    for _, run in itertools.groupby(lines, key=lambda line: line.passage.archive_id):
        batch: list[_Line] = []
        size = 0
        for line in run:
            if batch and (len(batch) == _BATCH or size + line.size > _BATCH_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(line)
            size += line.size
        yield batch


def _restore(triptych: Triptych, documents: Iterator[pb.Document], into: Target | None) -> None:
    for document in documents:
        if into is None:
            with contextlib.suppress(NotFound):  # of its passages none was left when it was exported
                triptych.documents.restore(document)


def _insert(triptych: Triptych, lines: Sequence[_Line], into: Target | None, imported: Imported) -> None:
    target = into or Target(lines[0].passage.archive_id, lines[0].archive_name or lines[0].passage.archive_id)
    passages = [line.passage if into is None else _copy(line.passage, into) for line in lines]
    wanted = passages
    try:
        _send(triptych, target, wanted)
    except AlreadyExists:
        wanted = [passage for passage in passages if not _there(triptych, passage.id)]
        if wanted:
            _send(triptych, target, wanted)
    imported.inserted += len(wanted)
    imported.existing += len(passages) - len(wanted)


def _send(triptych: Triptych, target: Target, passages: Sequence[pb.Passage]) -> None:
    triptych.archives.insert(target.archive_id, passages, create_archive_name=target.create_name)


def _there(triptych: Triptych, passage_id: str) -> bool:
    try:
        triptych.archives.get_passage(passage_id)
    except NotFound:
        return False
    return True


def _copy(passage: pb.Passage, into: Target) -> pb.Passage:
    """The same import gives a copy the same id, so that it can be repeated; the document stays with the original."""
    copy = pb.Passage()
    copy.CopyFrom(passage)
    key = f"{into.archive_id}/{passage.id}"
    copy.id = f"passage-{uuid.uuid5(_COPIES, key)}"
    if copy.HasField("source"):
        copy.source.document_id = ""
    return copy
