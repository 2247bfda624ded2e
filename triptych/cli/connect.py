"""How every command but `up` reaches a server: the options, and the client they make."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from triptych import ACCOUNT
from triptych.client import Triptych
from triptych.sdk import connection

Data = Annotated[Path | None, typer.Option("--data", help="The directory of a `triptych up` on this machine.")]
Address = Annotated[str | None, typer.Option("--address", help="host:port of a gateway's gRPC.")]
ApiKey = Annotated[str | None, typer.Option("--api-key", help="The key to use there.")]

ForAccount = Annotated[bool, typer.Option("--account", help="Act for the account itself (needs an admin key).")]


def client(data: Path | None, address: str | None, api_key: str | None, *, for_account: bool = False) -> Triptych:
    """Raises: Unavailable, Unauthenticated; they say what to do."""
    return Triptych(*connection.find(address, api_key, data), user=ACCOUNT if for_account else connection.user())
