"""Errors of the command itself."""

from __future__ import annotations


class CommandError(Exception):
    """Something the user can mend: the message says what, in one line, and the command ends with code 1."""
