"""What every Triptych service is made of, and nothing about memory: who calls, errors, deadlines, stores, drain."""

import sys

if "structlog" not in sys.modules and "rich" not in sys.modules:
    # Where rich is installed, structlog loads it, for tracebacks in colour that no service prints: 6 MB a process.
    sys.modules["rich"] = None  # type: ignore[assignment]
    import structlog  # noqa: F401

    del sys.modules["rich"]
