"""The commands of `triptych archival`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from triptych.archival.v1 import archival_pb2 as pb
from triptych.cli.archival import adding, files, moving, upkeep
from triptych.cli.archival.target import find, resolve
from triptych.cli.connect import Address, ApiKey, Data, client
from triptych.cli.errors import CommandError

app = typer.Typer(help="Archival memory: files and facts, found by meaning and by words.", no_args_is_help=True)
app.command()(upkeep.migrate)
app.command()(upkeep.reembed)
Archive = Annotated[str, typer.Option("--archive", help="The archive's name or id.")]


@app.command()
def add(
    paths: Annotated[list[Path], typer.Argument(help="Files and directories.")],
    archive: Annotated[str, typer.Option(help="Name or id; made if it is not there. Default: documents.")] = "",
    agent: Annotated[str, typer.Option(help="Put them into this agent's own archive (its id or name).")] = "",
    tags: Annotated[str, typer.Option(help="Tags for all of them, between commas.")] = "",
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Take files in: txt, md, html, pdf, docx, json, csv and other text. The same file twice adds nothing."""
    found, missing = files.find(paths)
    with client(data, address, api_key) as triptych:
        target = resolve(triptych, archive, agent)
        summary = adding.add_all(triptych, found, target, [tag.strip() for tag in tags.split(",") if tag.strip()])
    failed = [*missing, *summary.failed]
    typer.echo(
        f"{summary.added} added ({summary.passages:,} passages), {summary.existing} there already, "
        f"{len(failed)} failed; archive {target.archive_id}"
    )
    for name, why in failed:
        typer.echo(f"  {_printable(name)}: {_printable(why)}", err=True)
    if failed:
        raise typer.Exit(1)


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="A question, or words.")],
    archive: Archive = "",
    file: Annotated[list[str] | None, typer.Option("--file", help="Only of files of this name.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many hits.")] = 5,
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Print the best hits, with where each stands."""
    with client(data, address, api_key) as triptych:
        archive_ids = find(triptych, archive)
        hits = triptych.archives.search(query, archive_ids=archive_ids, file_names=file or [], limit=limit)
    for hit in hits:
        typer.echo(f"{hit.score:.2f}  {_place(hit.passage)}")
        for line in hit.passage.text.splitlines():
            typer.echo(f"      {_printable(line)}")
    if not hits:
        typer.echo("nothing found", err=True)


def _printable(line: str) -> str:
    """A document must not steer the terminal."""
    return "".join(character if character.isprintable() else " " for character in line)


def _place(passage: pb.Passage) -> str:
    if not passage.HasField("source"):
        return passage.id
    source = passage.source
    page = f", page {source.page}" if source.page else ""
    headings = f"  {' > '.join(source.headings)}" if source.headings else ""
    return _printable(f"{source.file_name}{page} [{source.start:,}–{source.end:,}]{headings}")


@app.command()
def archives(data: Data = None, address: Address = None, api_key: ApiKey = None) -> None:
    """Print each archive's id, name and number of passages."""
    with client(data, address, api_key) as triptych:
        for each in triptych.archives.list():
            typer.echo(f"{each.id}  {triptych.archives.count([each.id]):9,} passages  {_printable(each.name)}")


@app.command()
def documents(archive: Archive = "", data: Data = None, address: Address = None, api_key: ApiKey = None) -> None:
    """Print each document's id, number of passages and file name."""
    with client(data, address, api_key) as triptych:
        for each in triptych.documents.list(find(triptych, archive)):
            note = "" if each.state == pb.DOCUMENT_STATE_COMPLETE else "  (incomplete: add it again)"
            typer.echo(f"{each.id}  {each.passage_count:7,} passages  {_printable(each.file_name)}{note}")


@app.command()
def remove(
    document_id: Annotated[str, typer.Argument(help="From `triptych archival documents`.")],
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Delete a document with its passages."""
    with client(data, address, api_key) as triptych:
        triptych.documents.delete(document_id)
        typer.echo(f"deleted {document_id}")


@app.command("export")
def export_passages(
    file: Annotated[Path, typer.Argument(help="FILE.jsonl, or FILE.jsonl.gz to compress it.")],
    archive: Archive = "",
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Write all passages and documents of an archive, or of all, into a file: a line of JSON each."""
    with client(data, address, api_key) as triptych:
        count = moving.export_to(triptych, file, find(triptych, archive))
    typer.echo(f"{count:,} passages in {file}")


@app.command("import")
def import_passages(
    file: Annotated[Path, typer.Argument(help="What `triptych archival export` wrote.")],
    archive: Annotated[
        str, typer.Option(help="Copy everything into this archive (name or id). Default: back where it was.")
    ] = "",
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Insert what was exported. Passages that are there already are left alone, so a cut import can be run again."""
    if not file.is_file():
        raise CommandError(f"there is no file {file}")
    with client(data, address, api_key) as triptych:
        into = resolve(triptych, archive, "") if archive else None
        done = moving.import_from(triptych, file, into)
    Console(highlight=False).print(f"{done.inserted:,} passages inserted, {done.existing:,} there already")
