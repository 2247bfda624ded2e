"""Archival memory: facts and documents, kept for good, found by meaning and by words."""

import servicekit  # noqa: F401  (before structlog: it says why)
