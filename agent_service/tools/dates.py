"""Dates as tools take and give them: ISO 8601; a date without a time means the whole day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from agent_service.tools.base import ToolError


def parse(name: str, text: str | None, *, end: bool = False) -> Timestamp | None:
    """`end`: of a date without a time, take the day's last microsecond. No zone means UTC.

    Raises: ToolError for what is not ISO 8601.
    """
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        if end and _is_day(text):
            moment += timedelta(days=1, microseconds=-1)
        stamp = Timestamp()
        stamp.FromDatetime(moment)
    except (ValueError, OverflowError):
        raise ToolError(f"{name} must be an ISO 8601 date such as 2026-01-31 or 2026-01-31T18:00:00.") from None
    return stamp


def _is_day(text: str) -> bool:
    """Whether there is no time in a text that is ISO 8601."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def ago(then: datetime, now: datetime) -> str:
    """`3 hours ago`."""
    seconds = max(0, int((now - then).total_seconds()))
    for name, size in (("year", 31_536_000), ("month", 2_592_000), ("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size:
            number = seconds // size
            return f"{number} {name}{'' if number == 1 else 's'} ago"
    return "just now"
