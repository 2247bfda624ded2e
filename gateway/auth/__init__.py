"""From a key to a principal."""
