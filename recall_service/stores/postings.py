"""Which messages have a word: what FTS5 said last, and what has come since."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from servicekit.principal import Tenant

# Of a word that so many messages have, or more, only the newest of them count: it says little, and a search must not
# take longer with every year.
MOST_ROWS = 1_000
# A word is not counted further than this: what is more common weighs the same.
_MOST_COUNTED = 8_000
# Numbers kept in memory, for all words together: 32 MiB.
_MOST_NUMBERS = 4_000_000

# The word is an FTS5 string of word characters alone: whatever is typed, it is never read as FTS5's syntax.
_SINCE = "SELECT rowid FROM messages_fts WHERE messages_fts MATCH ? AND rowid > ? ORDER BY rowid DESC LIMIT ?"
_COUNT = "SELECT count(*) FROM (SELECT 1 FROM messages_fts WHERE messages_fts MATCH ? LIMIT ?)"

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Told:
    """How many commits, and how many changes to what was there, had been told of."""

    commits: int = 0
    changes: int = 0


@dataclass(frozen=True)
class Posting:
    """`numbers`: the newest messages with the word, newest first; `count`: how many have it, up to 8,000.

    `commits`: how many had been told of before it was read.
    """

    numbers: Numbers
    count: int
    commits: int


class Postings:
    """Least recently used words out first. Every commit that touches messages must be told to it. Safe in threads."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Tenant, str, str], Posting] = OrderedDict()
        self._lock = threading.Lock()
        self._size = 0
        self._told = Told()

    @property
    def told(self) -> Told:
        """To be read before the first query of a transaction: what is told of later, that may not see."""
        return self._told

    def came(self) -> None:
        """Messages came: what is known of a word may not be all."""
        with self._lock:
            self._told = replace(self._told, commits=self._told.commits + 1)

    def forget(self, tenant: Tenant) -> None:
        """Some of the user's messages were changed or purged."""
        with self._lock:
            self._told = Told(self._told.commits + 1, self._told.changes + 1)
            for key in [key for key in self._known if key[0] == tenant]:
                self._size -= len(self._known.pop(key).numbers)

    def of(self, connection: Connection, told: Told, tenant: Tenant, scope_word: str, word: str) -> Posting:
        """Of a word among the messages that have `scope_word`. `told`: as it was when the transaction began."""
        key = (tenant, scope_word, word)
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
        if known is not None and known.commits >= told.commits:
            return known
        posting = _read(connection, f'scope : {scope_word} AND body : "{word}"', known, told.commits)
        with self._lock:
            if told.changes == self._told.changes:  # else what was read may be out of date: good for this search alone
                self._keep(key, posting)
        return posting

    def _keep(self, key: tuple[Tenant, str, str], posting: Posting) -> None:
        if before := self._known.pop(key, None):
            self._size -= len(before.numbers)
        self._known[key] = posting
        self._size += len(posting.numbers)
        while self._size > _MOST_NUMBERS:
            _, out = self._known.popitem(last=False)
            self._size -= len(out.numbers)


def _read(connection: Connection, match: str, known: Posting | None, commits: int) -> Posting:
    """With the driver itself: a search asks for a word at a time, and SQLAlchemy takes longer than FTS5."""
    driver = connection.connection.cursor()
    newest = int(known.numbers[0]) if known is not None and len(known.numbers) else 0
    rows = [n for (n,) in driver.execute(_SINCE, (match, newest, MOST_ROWS)).fetchall()]
    numbers = np.array(rows, dtype=np.int64)
    if known is not None:
        numbers = np.concatenate([numbers, known.numbers])[:MOST_ROWS]
        return Posting(numbers, min(known.count + len(rows), _MOST_COUNTED), commits)
    count = len(rows)
    if count == MOST_ROWS:
        count = count_of(connection, match)
    return Posting(numbers, count, commits)


def count_of(connection: Connection, match: str) -> int:
    """How many messages match, up to 8,000."""
    ((count,),) = connection.connection.cursor().execute(_COUNT, (match, _MOST_COUNTED)).fetchall()
    return int(count)
