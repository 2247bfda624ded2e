"""Adds files one by one, with a progress bar; one that fails does not stop the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from triptych.archival.v1 import archival_pb2 as pb
from triptych.cli.archival.files import Named
from triptych.cli.archival.target import Target
from triptych.client import Triptych
from triptych.errors import DeadlineExceeded, PermissionDenied, TriptychError, Unauthenticated, Unavailable

# Not the file's fault: the next one would fail too.
_HOPELESS = (Unavailable, DeadlineExceeded, Unauthenticated, PermissionDenied)
_STAGES = {
    pb.ADD_DOCUMENT_STAGE_RECEIVING: "sending",
    pb.ADD_DOCUMENT_STAGE_READING: "reading",
    pb.ADD_DOCUMENT_STAGE_STORING: "storing",
    pb.ADD_DOCUMENT_STAGE_DONE: "done",
}


@dataclass
class Summary:
    """`failed`: the name of each file that was not added, and why."""

    added: int = 0
    existing: int = 0
    passages: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)


def add_all(triptych: Triptych, files: Sequence[Named], target: Target, tags: Sequence[str]) -> Summary:
    """Raises: Unavailable and what else would fail for every file."""
    summary = Summary()
    with bar() as progress:
        overall = progress.add_task("files", total=len(files), stage="")
        for file in files:
            task = progress.add_task(file.name, total=None, stage="sending")
            try:
                _add(triptych, file, target, tags, summary, _Shown(progress, task))
            except _HOPELESS:
                raise
            except (TriptychError, OSError) as error:
                message = error.message if isinstance(error, TriptychError) else error.strerror
                summary.failed.append((file.name, (message or "can't be read").removeprefix("file: ")))
            progress.remove_task(task)
            progress.advance(overall)
    return summary


def bar() -> Progress:
    """On stderr, so that what is printed can be piped on."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:3.0f}%"),
        TextColumn("{task.fields[stage]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )


class _Shown:
    """A document's progress as a line of the bar."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def __call__(self, response: pb.AddDocumentResponse) -> None:
        stage = _STAGES.get(response.stage, "")
        self._progress.update(self._task, completed=response.done, total=response.total or None, stage=stage)


def _add(triptych: Triptych, file: Named, target: Target, tags: Sequence[str], summary: Summary, shown: _Shown) -> None:
    done = triptych.documents.add(
        file.path,
        target.archive_id,
        file_name=file.name,
        tags=tags,
        create_archive_name=target.create_name,
        progress=shown,
    )
    if done.existing:
        summary.existing += 1
    else:
        summary.added += 1
        summary.passages += done.document.passage_count
