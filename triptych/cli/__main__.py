"""`triptych`: run the server, talk with agents, manage users and keys."""

from __future__ import annotations

import sys

import typer

from triptych.cli.errors import CommandError
from triptych.cli.up.command import up
from triptych.environment import BadEnvironment
from triptych.errors import TriptychError

app = typer.Typer(
    help="The memory server for LLM agents.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _root() -> None:
    """The memory server for LLM agents."""


app.command()(up)


def main() -> None:
    """Runs the command; what a user can mend is one line on stderr and code 1."""
    try:
        app()
    except (CommandError, BadEnvironment) as error:
        print(f"triptych: {error}", file=sys.stderr)
        sys.exit(1)
    except TriptychError as error:
        print(f"triptych: {error.message}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
