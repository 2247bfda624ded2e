"""The door: authenticates, and serves the tiers to outsiders by gRPC and by REST."""
