"""What an agent can do while it generates: edit its core memory, search recall, write to and search archival memory."""
