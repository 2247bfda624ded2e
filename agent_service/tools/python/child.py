"""The process that runs one call of one tool: `python -I child.py`. It imports nothing of ours.

In: one JSON object {source, function, arguments, limits}. Out: one JSON object {result} or {error}, on the standard
output it was started with; what the tool prints goes nowhere.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import Any


def _limit(limits: dict[str, int]) -> None:
    """Sets limits that the tool can't raise again."""
    for name, value in limits.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def _run(job: dict[str, Any]) -> dict[str, str]:
    module: dict[str, Any] = {"__name__": "tool"}
    try:
        exec(compile(job["source"], "tool.py", "exec"), module)  # noqa: S102 - what this process is for
        result = module[job["function"]](**job["arguments"])
        return {"result": result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, default=str)}
    except BaseException as error:  # whatever a stranger's code raises is its result
        return {"error": f"{type(error).__name__}: {error}"[:10_000]}


def main() -> None:
    job = json.load(sys.stdin)
    answer_to = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    _limit(job["limits"])
    answer = json.dumps(_run(job)).encode()
    while answer:
        answer = answer[os.write(answer_to, answer) :]
    os._exit(0)


if __name__ == "__main__":
    main()
