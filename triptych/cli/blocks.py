"""`triptych blocks`: what a block was, who wrote it, and taking an edit back."""

from __future__ import annotations

from typing import Annotated

import typer

from triptych.agent.v1 import agent_pb2 as pb
from triptych.cli.connect import Address, ApiKey, Data, client
from triptych.cli.which import AgentArgument, agent_id

app = typer.Typer(help="Blocks and their history.", no_args_is_help=True)
BlockId = Annotated[str, typer.Argument(metavar="BLOCK", help="The block's id.")]


@app.command("list")
def list_blocks(
    agent: AgentArgument,
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Print the id, revision and label of each of an agent's blocks."""
    with client(data, address, api_key) as triptych:
        for block in triptych.agents.get(agent_id(triptych, agent)).blocks:
            typer.echo(f"{block.id}  {int(block.etag):5}  {block.label}")


@app.command()
def history(block_id: BlockId, data: Data = None, address: Address = None, api_key: ApiKey = None) -> None:
    """Print the block's revisions, newest first: number, time, length and author."""
    with client(data, address, api_key) as triptych:
        for revision in triptych.blocks.history(block_id):
            at = revision.create_time.ToJsonString()
            typer.echo(f"{revision.revision:5}  {at}  {len(revision.value):7,}  {_author(revision)}")


@app.command()
def diff(
    block_id: BlockId,
    from_revision: Annotated[int, typer.Option("--from", min=0, help="Default: the one before --to.")] = 0,
    to_revision: Annotated[int, typer.Option("--to", min=0, help="Default: the newest.")] = 0,
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Print what changed between two revisions, as a unified diff."""
    with client(data, address, api_key) as triptych:
        typer.echo(triptych.blocks.diff(block_id, from_revision, to_revision))


@app.command()
def undo(
    block_id: BlockId,
    revision: Annotated[int, typer.Argument(help="The revision to take back.")],
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Take back what one revision changed; what was edited at other places since stays."""
    with client(data, address, api_key) as triptych:
        block = triptych.blocks.undo(block_id, revision)
        typer.echo(f"undone by revision {block.etag}")


def _author(revision: pb.BlockRevision) -> str:
    author = revision.edited_by
    undone = f", undoes {revision.undone_revision}" if revision.undone_revision else ""
    if author.type == pb.AUTHOR_TYPE_USER:
        return f"user{undone}"
    return f"{author.agent_id}, {author.turn_id}, step {author.step}, call {author.call}"
