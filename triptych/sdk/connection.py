"""Where the server is, and with which key to go there."""

from __future__ import annotations

import json
import os
from pathlib import Path

from triptych.errors import Unauthenticated, Unavailable

_DEFAULT_DATA = "~/.triptych"


def user(given: str | None = None) -> str | None:
    """Whom to act for: what was given, else TRIPTYCH_USER; None for whom the key stands for."""
    return given or os.environ.get("TRIPTYCH_USER") or None


def find(address: str | None = None, api_key: str | None = None, data: str | Path | None = None) -> tuple[str, str]:
    """(host:port, key): what was given, else TRIPTYCH_ADDRESS and TRIPTYCH_API_KEY, else what `triptych up` left.

    `data`: the directory of `triptych up`; default TRIPTYCH_DATA, then ~/.triptych. If given, it comes before the
    environment. The key that it left goes to its server alone. Raises: Unavailable if no server is known,
    Unauthenticated if no key is.
    """
    if data is None:
        address = address or os.environ.get("TRIPTYCH_ADDRESS")
        api_key = api_key or os.environ.get("TRIPTYCH_API_KEY")
    if not (address and api_key):
        ready = Path(data or os.environ.get("TRIPTYCH_DATA") or _DEFAULT_DATA).expanduser() / "ready.json"
        try:
            running = json.loads(ready.read_text())
            if address in (None, "", running["grpc_address"]):
                address, api_key = running["grpc_address"], api_key or running["api_key"]
        except (OSError, ValueError, KeyError, TypeError):
            if not address:
                raise Unavailable(
                    f"no server found: there is no {ready}. Run `triptych up`, or give an address and a key "
                    "(TRIPTYCH_ADDRESS, TRIPTYCH_API_KEY)"
                ) from None
    if not (address and api_key):
        raise Unauthenticated("no API key: give one, or set TRIPTYCH_API_KEY")
    return address, api_key
