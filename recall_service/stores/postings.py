"""Which messages have a word: what FTS5 said last, and what has come since.

FTS5 finds a word within a scope by walking through all that the scope holds, which takes a millisecond for a hundred
thousand messages. So the scope's own messages are kept in memory too, and a word is looked for everywhere: only one
that very many messages of others have needs FTS5's way.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from recall_service.stores.growing import Growing
from recall_service.stores.tables import owner
from servicekit.principal import Tenant
from servicekit.sql import Prepared

# Of a word that so many messages have, or more, only the newest of them count: it says little, and a search must not
# take longer with every year.
MOST_ROWS = 1_000
# So many of the newest messages with a word, of whatever scope, are looked through for those of the scope.
_MOST_ANYWHERE = 2_000
# Numbers kept in memory, for all words and scopes together: 64 MiB.
_MOST_NUMBERS = 8_000_000
# What a posting takes beside its numbers, in such: most people have few messages.
_NUMBERS_OF_ONE = 80

# Numbers as one text: a row at a time, each would be a step of Python's, and wait for whatever else runs there.
_NEWEST = Prepared(
    text(
        """
        SELECT group_concat(rowid) FROM (
            SELECT rowid FROM messages_fts WHERE messages_fts MATCH :match AND rowid > :after
            ORDER BY rowid DESC LIMIT :most
        )
        """
    )
)
# Of some roles alone: what FTS5 has no word for.
_BY_ROLE = """
    SELECT group_concat(n) FROM messages
    WHERE account_id = :owner_account AND user_id = :owner_user AND n > :after {of_agent}
        AND role IN (SELECT value FROM json_each(:roles))
    """
_OF_AGENT_BY_ROLE = Prepared(text(_BY_ROLE.format(of_agent="AND agent_id = :agent_id")))
_OF_USER_BY_ROLE = Prepared(text(_BY_ROLE.format(of_agent="AND :agent_id = ''")))
_ANY_NUMBER = -1

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Among:
    """Which messages are searched: those that have the scope's `word` in FTS5, of some `roles` alone ((): of all).

    `agent_id`: the scope's; '' if it is all of the user's.
    """

    tenant: Tenant
    word: str
    agent_id: str = ""
    roles: tuple[int, ...] = ()


@dataclass(frozen=True)
class Told:
    """How many commits, and how many changes to what was there, had been told of."""

    commits: int = 0
    changes: int = 0


@dataclass(frozen=True)
class Posting:
    """`numbers`: the newest messages with the word, or of the scope, rising; `count`: how many have it, about.

    `commits`: how many had been told of before it was read. `room`: where later numbers can be put behind these.
    """

    numbers: Numbers
    count: int
    commits: int
    room: Growing[np.int64] | None = None

    @property
    def newest(self) -> int:
        return int(self.numbers[-1]) if len(self.numbers) else 0

    @property
    def size(self) -> int:
        """As many numbers take."""
        return _NUMBERS_OF_ONE + len(self.numbers)


class Postings:
    """Least recently used out first. Every commit that touches messages must be told to it. Safe in threads."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Among, str], Posting] = OrderedDict()
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
            for key in [key for key in self._known if key[0].tenant == tenant]:
                self._size -= self._known.pop(key).size

    def members(self, connection: Connection, told: Told, among: Among) -> Posting:
        """All messages that are among those. `told`: as it was when the transaction began."""
        key = (among, "")
        known = self._recalled(key)
        if known is None or known.commits < told.commits:
            later = _members(connection, among, known.newest if known is not None else _ANY_NUMBER)
            if known is None or known.room is None:
                numbers, room = later, Growing(later)
            else:
                with self._lock:
                    numbers, room = known.room.with_later(known.numbers, later), known.room
            known = self._kept(key, Posting(numbers, len(numbers), told.commits, room), told)
        return known

    def of(self, connection: Connection, told: Told, among: Among, members: Posting, word: str) -> Posting:
        """The messages with a word, of `members`, which are those that are among `among`."""
        key = (among, word)
        known = self._recalled(key)
        if known is not None and known.commits >= told.commits:
            return known
        if known is None:
            numbers = _found_anywhere(connection, members.numbers, word)
            if numbers is None:
                numbers = _having(connection, among, members.numbers, word, _ANY_NUMBER)
            count = len(numbers)
        else:
            later = _having(connection, among, members.numbers, word, known.newest)
            numbers, count = np.concatenate([known.numbers, later]), known.count + len(later)
        if len(numbers) >= MOST_ROWS:
            numbers = numbers[-MOST_ROWS:]
            count = max(count, extrapolated(numbers, members.numbers))
        return self._kept(key, Posting(numbers, count, told.commits), told)

    def _recalled(self, key: tuple[Among, str]) -> Posting | None:
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
            return known

    def _kept(self, key: tuple[Among, str], posting: Posting, told: Told) -> Posting:
        with self._lock:
            if told.changes == self._told.changes:  # else what was read may be out of date: good for this search alone
                self._keep(key, posting)
        return posting

    def _keep(self, key: tuple[Among, str], posting: Posting) -> None:
        if before := self._known.pop(key, None):
            self._size -= before.size
        self._known[key] = posting
        self._size += posting.size
        while self._size > _MOST_NUMBERS:
            _, out = self._known.popitem(last=False)
            self._size -= out.size


def newest(connection: Connection, match: str, after: int, most: int = -1) -> Numbers:
    """The newest messages that match, rising, of those behind number `after`; `most` of them, or all."""
    ((listed,),) = _NEWEST.all(connection, {"match": match, "after": after, "most": most})
    return _rising(listed)


def _rising(listed: str | None) -> Numbers:
    """Of a list such as SQL's `group_concat` makes; None for none."""
    return np.sort(np.fromstring(listed or "", dtype=np.int64, sep=","))


def extrapolated(numbers: Numbers, members: Numbers) -> int:
    """How many of `members` have a word, if it is as common before the first of `numbers` as it is from there on."""
    spanned = len(members) - int(np.searchsorted(members, numbers[0]))
    return max(len(numbers), len(numbers) * len(members) // max(spanned, 1))


def _members(connection: Connection, among: Among, after: int) -> Numbers:
    """All that are among those, rising, behind number `after`."""
    if not among.roles:
        return newest(connection, f"scope : {among.word}", after)
    parameters = owner(among.tenant, agent_id=among.agent_id, roles=json.dumps(among.roles), after=after)
    ((listed,),) = (_OF_AGENT_BY_ROLE if among.agent_id else _OF_USER_BY_ROLE).all(connection, parameters)
    return _rising(listed)


def _having(connection: Connection, among: Among, members: Numbers, word: str, after: int) -> Numbers:
    """The newest of `members` that have a word, rising, behind number `after`: at least MOST_ROWS if there are."""
    match = f'scope : {among.word} AND body : "{word}"'
    if not among.roles:
        return newest(connection, match, after, MOST_ROWS)
    # All of the scope's: those of other roles may be the newest by far.
    return _common(newest(connection, match, after), members)


def _common(numbers: Numbers, members: Numbers) -> Numbers:
    at = np.minimum(np.searchsorted(members, numbers), len(members) - 1)
    return numbers[members[at] == numbers] if len(members) else numbers[:0]


def _found_anywhere(connection: Connection, members: Numbers, word: str) -> Numbers | None:
    """The members that have the word, or the newest of them; None if a look at the newest anywhere does not tell.

    The word is an FTS5 string of word characters alone: whatever is typed, it is never read as FTS5's syntax.
    """
    anywhere = newest(connection, f'body : "{word}"', _ANY_NUMBER, _MOST_ANYWHERE)
    found = _common(anywhere, members)
    return found if len(anywhere) < _MOST_ANYWHERE or len(found) >= MOST_ROWS else None
