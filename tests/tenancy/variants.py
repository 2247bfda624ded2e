"""The questions asked of every method and route, and how two answers are compared byte by byte."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

from google.protobuf.message import Message

from tests.tenancy.world import CANARIES, MAKING, MAKING_BY_REST, OF_ACCOUNT, World

_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_TIME = re.compile(rb"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)?")
_PLACEHOLDER = re.compile(r"\{\+?(\w+)\}")
KINDS = (*MAKING, *MAKING_BY_REST, "agent_archive", "agent_block", "step")


def kinds_in(template: Any) -> list[str]:
    """Of which kinds the template names a resource."""
    found = dict.fromkeys(_PLACEHOLDER.findall(json.dumps(template)))
    return [kind for kind in found if kind in KINDS]


def with_id(template: Any, kind: str, its_id: str) -> Any:
    """The template with that id in the place of the user's own resource of the kind."""
    return json.loads(json.dumps(template).replace(f"{{+{kind}}}", its_id).replace(f"{{{kind}}}", its_id))


def missing(like: str) -> str:
    """An id of the same form that nothing has."""
    return _UUID.sub(str(uuid.uuid4()).encode(), like.encode()).decode()


def malformed() -> Iterator[str]:
    yield from ("x", "agent-", "' OR 1=1 --", "../../admin", "%00", "ü" * 40, "x" * 500)


def plain(raw: bytes) -> bytes:
    """Without what differs by chance: ids (all have one length) and times."""
    return _TIME.sub(b"(time)", _UUID.sub(b"(uuid)", raw))


def without_times(message: Message) -> bytes:
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        if field.message_type.full_name == "google.protobuf.Timestamp":
            message.ClearField(field.name)
            continue
        for each in value if field.is_repeated else [value]:
            without_times(each)
    return message.SerializeToString(deterministic=True)


def check_no_leak(world: World, raw: bytes, asked: str = "", others: tuple[str, ...] = ("bob", "cyd")) -> None:
    """Nothing of the others is in it, but for the id that was asked for."""
    for other in others:
        for kind, its_id in world.ids[other].items():
            # Tools are everybody's; and Bob's account is the one of which Ann is an admin.
            if kind == "tool" or (other == "bob" and kind in OF_ACCOUNT):
                continue
            assert its_id == asked or its_id.encode() not in raw, f"{other}'s {kind} is in the answer"
        assert CANARIES[other].encode() not in raw, f"{other}'s words are in the answer"
