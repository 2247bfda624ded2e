"""What the one who runs this server allows tools of others."""

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


@dataclass(frozen=True)
class PythonSettings:
    """`seconds`: of wall time for a call; of CPU it gets as many. Sizes in bytes."""

    enabled: bool = False
    seconds: float = 30.0
    memory: int = 512 * 1024 * 1024
    file_size: int = 16 * 1024 * 1024
    open_files: int = 64
    processes: int = 32
    at_once: int = 4

    def limits(self) -> dict[str, int]:
        """By the names of RLIMIT_*."""
        return {
            "CPU": max(1, int(self.seconds)),
            "AS": self.memory,
            "FSIZE": self.file_size,
            "NOFILE": self.open_files,
            "NPROC": self.processes,
            "CORE": 0,
        }
