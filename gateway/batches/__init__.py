"""Batches: turns that are run in the background, so many at a time, whatever becomes of this process."""
