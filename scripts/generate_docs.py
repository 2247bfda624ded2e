"""Writes docs/configuration.md from the table that the services read.

python scripts/generate_docs.py [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from triptych.environment import VARIABLES  # noqa: E402

HEADER = """\
# Configuration

All settings come from the environment and are read once, at start. Run a service by itself and you set them yourself
([running.md](running.md)).

A `TRIPTYCH_*` variable that is not in this table is refused at start, since it is most likely a typing error; left
alone are `TRIPTYCH_TEST_*` and the `*_SERVICE_HOST`, `*_SERVICE_PORT*` and `*_PORT*` that Kubernetes puts into pods.

`triptych up` hands on what its services read, makes keys, stores and addresses itself, and names at the start a
variable that therefore has no effect. It also reads `OPENAI_BASE_URL` and `OPENAI_API_KEY` where the
`TRIPTYCH_MODEL_*` ones are not set.

| variable | meaning | default |
|---|---|---|
"""


def page() -> str:
    rows = []
    for each in VARIABLES.values():
        secret = " (secret)" if each.secret else ""
        default = f"`{each.default}`" if each.default else ""
        rows.append(f"| `{each.name}` | {each.meaning}{secret} | {default} |")
    return HEADER + "\n".join(rows) + "\n"


def main() -> int:
    target = ROOT / "docs" / "configuration.md"
    if "--check" in sys.argv:
        if not target.is_file() or target.read_text() != page():
            print("not fresh: docs/configuration.md; run make generate")
            return 1
        return 0
    target.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
