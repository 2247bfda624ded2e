"""What the one who runs this server allows MCP servers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class McpSettings:
    """`private_addresses`: servers in this network too. `stdio`: programs of this machine, started for users.

    `timeout_seconds`: of a call, and of connecting.
    """

    private_addresses: bool = False
    stdio: bool = False
    timeout_seconds: float = 60.0
