"""Writes docs/letta.md: every endpoint that letta-client asks for, and whether the gateway has it.

python scripts/generate_letta.py [--check]
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import letta_client

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from gateway.rest import unsupported  # noqa: E402
from gateway.rest.app import make_api  # noqa: E402

_CALL = re.compile(r'self\._(get|post|put|patch|delete|get_api_list)\(\s*(?:path_template\(\s*)?"(/v1[^"]*)"')
_PARAMETER = re.compile(r"{\w+}")
HEADER = """\
# What of letta-client's endpoints is here

Read from `letta-client` and from the gateway's routes by `scripts/generate_letta.py`. What is not supported answers 501
with the sentence that stands here. Paths work with and without a slash at the end.

| endpoint | state |
|---|---|
"""


def endpoints() -> list[tuple[str, str]]:
    """Methods and paths, sorted by path."""
    found = set()
    for file in (Path(letta_client.__file__).parent / "resources").rglob("*.py"):
        for method, path in _CALL.findall(file.read_text()):
            found.add((path.rstrip("/"), "GET" if method.startswith("get") else method.upper()))
    return [(method, path) for path, method in sorted(found)]


def state(method: str, path: str, served: dict[str, Any]) -> str | None:
    """`supported`, or why it is not; None if the gateway does not know of it. `served`: OpenAPI's paths."""
    asked = _PARAMETER.sub("x", path)
    if any(method.lower() in methods and _matches(template, asked) for template, methods in served.items()):
        return "supported"
    reasons = unsupported.REASONS.items()
    return next((why for start, why in reasons if _matches(start, asked) or _matches(start + "/.*", asked)), None)


def _matches(template: str, path: str) -> bool:
    return re.fullmatch(_PARAMETER.sub("[^/]+", template), path) is not None


def page() -> str:
    served = make_api().openapi()["paths"]
    states = [(method, path, state(method, path, served)) for method, path in endpoints()]
    count = sum(each == "supported" for _, _, each in states)
    rows = [f"| `{method} {path}` | {each} |" for method, path, each in states]
    return HEADER + "\n".join(rows) + f"\n\n{count} of {len(states)} are supported.\n"


def main() -> int:
    target = ROOT / "docs" / "letta.md"
    if "--check" in sys.argv:
        if not target.is_file() or target.read_text() != page():
            print("not fresh: docs/letta.md; run make generate")
            return 1
        return 0
    target.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
