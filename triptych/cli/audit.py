"""`triptych audit`."""

from __future__ import annotations

from typing import Annotated

import typer
from google.protobuf.json_format import MessageToJson

from triptych.cli.connect import Address, ApiKey, Data, client


def audit(
    user: Annotated[str, typer.Argument(help="Only what this user did.")] = "",
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Print who did what to which resource, oldest first, as one JSON object a line (needs an admin key)."""
    with client(data, address, api_key) as triptych:
        for event in triptych.audit.list(user):
            typer.echo(MessageToJson(event, preserving_proto_field_name=True, indent=None))
