"""`triptych`: run the server, talk with agents, manage users and keys."""

from __future__ import annotations

import sys

import typer

from triptych.cli import accounts, agents, blocks, keys, providers, users
from triptych.cli.archival import command as archival
from triptych.cli.audit import audit
from triptych.cli.chat.command import chat
from triptych.cli.context import context
from triptych.cli.doctor import doctor
from triptych.cli.errors import CommandError
from triptych.cli.letta.command import import_agents
from triptych.cli.up.command import up
from triptych.cli.vacuum import vacuum
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
app.command()(chat)
app.command()(context)
app.command()(doctor)
app.command()(vacuum)
app.command()(audit)
app.command("import")(import_agents)
app.add_typer(agents.app, name="agents")
app.add_typer(blocks.app, name="blocks")
app.add_typer(archival.app, name="archival")
app.add_typer(accounts.app, name="accounts")
app.add_typer(users.app, name="users")
app.add_typer(keys.app, name="keys")
app.add_typer(providers.app, name="providers")


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
    except UnicodeEncodeError as error:  # of what was given, or of where it is to be shown
        print(f"triptych: there is text that is not {error.encoding.upper()}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:  # of a file that was named
        print(": ".join(["triptych", *filter(None, [error.filename]), error.strerror or str(error)]), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
