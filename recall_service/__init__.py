"""Recall memory: every message ever, in order, searchable by words and by meaning."""
