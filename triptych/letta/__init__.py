"""What Letta's server and programs write, read: for the gateway's REST, for agent files, and for `triptych import`."""
