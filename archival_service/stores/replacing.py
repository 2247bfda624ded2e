"""Which passages another of their owner's has made untrue: both stay, and the older says by which and since when."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Text, and_, bindparam, delete, exists, func, insert, or_, select

from archival_service.stores.rows import in_parts, owned, owner, timestamp
from archival_service.stores.tables import passages, replacements
from servicekit.principal import Tenant
from servicekit.sql import Prepared
from triptych.archival.v1.archival_pb2 import Passage

# In a passage's metadata: a list of the ids of those that it makes untrue.
REPLACES = "replaces"
_MOST = 100
_MINE = and_(*(replacements.c[name] == bindparam(name) for name in ("account_id", "user_id")))
_NEWER = (
    select(replacements.c.old_id, passages.c.id, passages.c.created_at)
    .join_from(
        replacements,
        passages,
        and_(
            replacements.c.account_id == passages.c.account_id,
            replacements.c.user_id == passages.c.user_id,
            replacements.c.new_id == passages.c.id,
        ),
    )
    .where(_MINE)
    .order_by(passages.c.created_at, passages.c.n)
)
_OF = _NEWER.where(replacements.c.old_id.in_(bindparam("old_ids", expanding=True)))
# The same with the ids as one parameter, a JSON list: every search asks.
_LISTED = func.json_each(bindparam("old_ids", type_=Text)).table_valued("value")
_OF_LISTED = Prepared(_NEWER.where(replacements.c.old_id.in_(select(_LISTED.c.value))))


def note(connection: Connection, tenant: Tenant, rows: Iterable[Mapping[str, Any]]) -> None:
    """Keeps what new rows of `passages` make untrue, of what their owner has."""
    named = {row["id"]: old_ids for row in rows if (old_ids := _replaced(row["metadata"]))}
    for new_id, old_ids in named.items():
        for part in in_parts(old_ids):
            there = select(passages.c.id).where(owned(passages, tenant), passages.c.id.in_(part))
            known = connection.execute(there).scalars().all()
            if known:
                values = [{**owner(tenant), "old_id": old_id, "new_id": new_id} for old_id in known]
                connection.execute(insert(replacements), values)


def _replaced(metadata: Mapping[str, Any]) -> list[str]:
    """What programs have put there may be anything."""
    listed = metadata.get(REPLACES)
    ids = [each for each in listed if isinstance(each, str)] if isinstance(listed, list) else []
    return list(dict.fromkeys(ids))[:_MOST]


def mark(connection: Connection, tenant: Tenant, found: Sequence[Passage]) -> None:
    """Sets `superseded_by` and `superseded_time` of those of the owner's passages that are."""
    if not found:
        return
    rows: Iterable[Any]
    old_ids = [passage.id for passage in found]
    if connection.dialect.name == "sqlite":
        rows = _OF_LISTED.all(connection, {**owner(tenant), "old_ids": json.dumps(old_ids)})
    else:
        rows = connection.execute(_OF, {**owner(tenant), "old_ids": old_ids})
    newest = {row.old_id: row for row in rows}
    for passage in found if newest else ():
        if (newer := newest.get(passage.id)) is not None:
            passage.superseded_by = newer.id
            passage.superseded_time.CopyFrom(timestamp(newer.created_at))


def tidy(connection: Connection, tenant: Tenant) -> None:
    """Forgets what was said of passages that are deleted."""

    def there(column: Any) -> Any:
        return exists().where(owned(passages, tenant), passages.c.id == column)

    gone = or_(~there(replacements.c.old_id), ~there(replacements.c.new_id))
    connection.execute(delete(replacements).where(owned(replacements, tenant), gone))
