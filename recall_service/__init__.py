"""Recall memory: every message ever, in order, searchable by words and by meaning."""

import servicekit  # noqa: F401  (before structlog: it says why)
