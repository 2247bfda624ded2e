"""Generates the synchronous SDK from the asynchronous one: the same code without its awaits.

python scripts/generate_sync.py [--check]
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "triptych" / "sdk"
HEADER = "# Generated from triptych/sdk/aio by scripts/generate_sync.py: change it there.\n"
# In this order.
REPLACEMENTS = (
    (r"import grpc\nimport grpc\.aio\n", "import grpc\n"),
    (r"grpc\.aio\.", "grpc."),
    (r"import asyncio\n", "import time\n"),
    (r"asyncio\.sleep", "time.sleep"),
    (r"triptych\.sdk\.aio", "triptych.sdk.sync"),
    (r"\basync (def|for|with)\b", r"\1"),
    (r"\banext\(", "next("),
    (r"\bawait ", ""),
    (r"__aenter__", "__enter__"),
    (r"__aexit__", "__exit__"),
    (r"\bAsyncIterator\b", "Iterator"),
    (r"\bAsync([A-Z]\w+)", r"\1"),
    (r"The asynchronous SDK", "The synchronous SDK"),
)


def generated(source: str) -> str:
    for pattern, replacement in REPLACEMENTS:
        source = re.sub(pattern, replacement, source)
    return HEADER + source


def main() -> int:
    stale = []
    for path in sorted((ROOT / "aio").glob("*.py")):
        target, wanted = ROOT / "sync" / path.name, generated(path.read_text())
        if target.is_file() and target.read_text() == wanted:
            continue
        stale.append(target.name)
        if "--check" not in sys.argv:
            target.write_text(wanted)
    if "--check" in sys.argv and stale:
        print(f"not fresh: {', '.join(stale)}; run make generate")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
