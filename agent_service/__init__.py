"""Agents, their core memory, and the loop that runs their turns."""

import servicekit  # noqa: F401  (before structlog: it says why)
