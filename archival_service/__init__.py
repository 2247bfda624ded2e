"""Archival memory: facts and documents, kept for good, found by meaning and by words."""
