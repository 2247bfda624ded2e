"""What a read-only caller may call: decided by a method's name, in every service alike."""

from __future__ import annotations

from servicekit.principal import Principal, Scope
from triptych.errors import PermissionDenied

# How the names of methods that change nothing begin. Any other name is taken for a write.
_READS = ("Count", "Diff", "Export", "Get", "List", "Preview", "Resume", "Search", "WhoAmI")


def reads(method: str) -> bool:
    """Whether `/package.Service/Method` changes nothing."""
    return method.rpartition("/")[2].startswith(_READS)


def check(caller: Principal, method: str) -> None:
    """Raises: PermissionDenied for a write by a caller whose scope is to read."""
    if caller.scope is Scope.READ_ONLY and not reads(method):
        raise PermissionDenied("a read-only key may not write")
