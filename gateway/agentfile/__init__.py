"""Agent files (`.af`): an agent with its memory as one JSON document, after Letta's schema, out of and into here."""
