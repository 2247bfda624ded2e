"""A service's SQL store as two functions, `read` and `write`, over sync SQLAlchemy Core in threads."""

from servicekit.sql.database import Database, Part, StoreError, T, Work
from servicekit.sql.locks import number as lock_number
from servicekit.sql.opening import open_database
from servicekit.sql.prepared import Prepared, sent_together
from servicekit.sql.presence import Presence, present
from servicekit.sql.sqlite import hold

__all__ = [
    "Database",
    "Part",
    "Prepared",
    "Presence",
    "StoreError",
    "T",
    "Work",
    "hold",
    "lock_number",
    "open_database",
    "present",
    "sent_together",
]
