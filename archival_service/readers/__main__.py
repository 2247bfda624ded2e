"""Reads one file: python -m archival_service.readers MEDIA_TYPE MEMORY_BYTES SECONDS < FILE > RESULT

RESULT is lines of JSON. The first: `{"chunks", "characters", "pages"}`, and then a line a chunk; or `{"error"}`, which
is why the file can't be taken in. The limits are this process's own, so that a file made to eat memory or time gets no
further than here.
"""

from __future__ import annotations

import contextlib
import json
import logging
import resource
import sys
from collections.abc import Iterator
from typing import Any

from archival_service.chunking import chunks
from archival_service.readers import formats
from archival_service.readers.text import Unreadable, assemble


def main(kind: str, memory_bytes: int, seconds: int) -> None:
    with contextlib.suppress(ValueError):  # macOS can't bound the address space
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    # The first ends the process by SIGXCPU, which says why; the second by SIGKILL, which nothing can catch.
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable()  # libraries say what they came upon, which may be what the file says
    try:
        lines = list(_lines(sys.stdin.buffer.read(), kind))
    except Unreadable as error:
        lines = [_line({"error": str(error)})]
    except MemoryError:
        lines = [_line({"error": f"reading it takes more than {memory_bytes // 2**20} MiB of memory"})]
    except RecursionError:
        lines = [_line({"error": "it is nested too deep"})]
    except Exception as error:  # the edge: the libraries raise anything on what was made to break them
        lines = [_line({"error": "it can't be read: it is damaged, or not what its name says"})]
        print(f"{type(error).__module__}.{type(error).__qualname__}", file=sys.stderr)
    sys.stdout.buffer.writelines(lines)


def _lines(data: bytes, kind: str) -> Iterator[bytes]:
    document = assemble(formats.read(data, kind))
    found = list(chunks(document))
    yield _line({"chunks": len(found), "characters": len(document.text), "pages": document.pages})
    yield from (_line(vars(chunk)) for chunk in found)


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
