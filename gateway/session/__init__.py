"""Many agents' turns over one connection."""
