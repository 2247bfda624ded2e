"""The door: authenticates, and serves the tiers to outsiders by gRPC and by REST."""

import servicekit  # noqa: F401  (before structlog: it says why)
