"""Places at which the crash tests kill the process. Outside of these tests passing one does nothing.

`TRIPTYCH_TEST_FAILPOINT=step:committed:n=2` kills it with SIGKILL when it passes there for the second time;
`…:n=2:stop` stops it there instead (SIGSTOP), as a machine that hangs, until somebody sends SIGCONT.
"""

from __future__ import annotations

import os
import signal

# In the order in which a turn passes them. `docs/promises.md` says of each what is promised there.
NAMES = (
    "accept:before",
    "accept:after",
    "model:before",
    "model:after",
    "step:committed",
    "call:before",
    "call:effect",
    "call:journalled",
    "recall:before",
    "recall:after",
    "finish:before",
    "finish:committed",
    "events:before",
    "settled",
)

_name, _left, _signal = "", 0, signal.SIGKILL


def arm(where: str) -> None:
    """`where`: as the variable says it; '' for nowhere."""
    global _name, _left, _signal
    _name, _, how = where.partition(":n=")
    times, _, stop = how.partition(":")
    _left, _signal = int(times or 1), signal.SIGSTOP if stop else signal.SIGKILL


def reach(name: str) -> None:
    """Kills or stops the process here if the environment says so."""
    global _left
    if name != _name:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), _signal)


arm(os.environ.get("TRIPTYCH_TEST_FAILPOINT", ""))
