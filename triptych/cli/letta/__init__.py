"""`triptych import`: the agents of a running Letta server, brought here."""
