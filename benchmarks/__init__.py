"""The numbers' commands. Each ends by itself, uses loopback only, and starts what it measures on a temporary folder."""
