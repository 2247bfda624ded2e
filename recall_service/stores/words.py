"""The index of words: FTS5 over who said it, what, and on which day."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache

from sqlalchemy import Connection, bindparam, text

from recall_service.store import ALL_ROLES, Filters, Waiting
from recall_service.stores.postings import Among
from servicekit.principal import Tenant
from servicekit.sql import Prepared
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2

_ADD = Prepared(text("INSERT INTO messages_fts (rowid, scope, body) VALUES (:n, :scope, :body)"))
_SECONDS_OF_A_DAY = 86_400
_SPOKEN = set(ALL_ROLES) - {type_pb2.ROLE_TOOL}
_REMOVE = text("DELETE FROM messages_fts WHERE rowid IN :numbers").bindparams(bindparam("numbers", expanding=True))


def add(connection: Connection, tenant: Tenant, numbered: Mapping[int, Message]) -> None:
    """Indexes messages by their numbers; one without text has no words to find."""
    rows = [
        {"n": n, "scope": _scope(tenant, message.agent_id, message.role in _SPOKEN), "body": indexed(message)}
        for n, message in numbered.items()
        if message.text
    ]
    if rows:
        _ADD.run(connection, *rows)


def remove(connection: Connection, numbers: Sequence[int]) -> None:
    connection.execute(_REMOVE, {"numbers": list(numbers)})


def compact(connection: Connection) -> None:
    """FTS5 keeps a removed message's words in old segments until these are merged."""
    connection.execute(text("INSERT INTO messages_fts (messages_fts) VALUES ('optimize')"))


def indexed(message: Message) -> str:
    """The text whose words are searched."""
    return f"{spoken(message)} ({_day(message.create_time.seconds // _SECONDS_OF_A_DAY)})"


def spoken(message: Message) -> str:
    """The text whose meaning is searched: who said it is a part of that."""
    speaker = message.name or type_pb2.Role.Name(message.role).removeprefix("ROLE_").lower()
    return f"{speaker}: {message.text}"


def waiting(n: int, account_id: str, user_id: str, body: bytes, since: int) -> Waiting:
    """Of a stored message."""
    message = Message.FromString(body)
    return Waiting(n, Tenant(account_id, user_id), message.agent_id, message.revision, spoken(message), since)


def among(tenant: Tenant, filters: Filters) -> Among:
    """The messages that the filters' scope and roles hold. All but what tools said has a scope word of its own."""
    agent_id, roles = filters.scope.agent_id, set(filters.roles)
    word = agent_word(tenant, agent_id) if agent_id else user_word(tenant)
    spoken_alone = roles <= _SPOKEN
    whole = _SPOKEN if spoken_alone else set(ALL_ROLES)
    return Among(tenant, f"s{word}" if spoken_alone else word, agent_id, () if roles == whole else tuple(sorted(roles)))


@lru_cache(10_000)
def _scope(tenant: Tenant, agent_id: str, is_spoken: bool) -> str:
    words = [user_word(tenant), agent_word(tenant, agent_id)]
    return " ".join(words + [f"s{word}" for word in words] if is_spoken else words)


@lru_cache(10_000)
def _day(number: int) -> str:
    """That many days after the first of 1970."""
    day = date(1970, 1, 1) + timedelta(number)
    return f"{day.day} {day:%B %Y}"


def user_word(tenant: Tenant) -> str:
    return "u" + _hash("/".join(tenant))


def agent_word(tenant: Tenant, agent_id: str) -> str:
    return "a" + _hash("/".join((*tenant, agent_id)))


def _hash(value: str) -> str:
    return hashlib.blake2b(value.encode(), digest_size=10).hexdigest()
