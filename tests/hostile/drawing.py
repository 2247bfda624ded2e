"""Generated input: the same in every run, unless another seed is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, TypeVar

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

T = TypeVar("T")

# How many requests for each route and method, and which: more of both by hand, for a night.
EXAMPLES = int(os.environ.get("TRIPTYCH_TEST_HOSTILE_EXAMPLES", "8"))
_SEED = int(os.environ.get("TRIPTYCH_TEST_HOSTILE_SEED", "0"))

_STRANGE_TEXTS = (
    "",
    "\x00",
    "'; DROP TABLE agents; --",
    "../../etc/passwd",
    "%s%n",
    "\u202e\ufeff",
    "😀" * 300,
    "x" * 70_000,
)
_DEEPEST = 3


def drawn(strategy: st.SearchStrategy[T], count: int = EXAMPLES) -> list[T]:
    """Examples of a strategy, to be used where hypothesis can't call: in a running event loop."""
    found: list[T] = []

    @seed(_SEED)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(example: T) -> None:
        found.append(example)

    collect()
    return found


def messages(descriptor: Descriptor, ids: list[str], depth: int = 0) -> st.SearchStrategy[Message]:
    """Valid bytes with unlikely content. `ids`: some of those that exist, so that more than "not found" is reached."""
    fields = [field for field in descriptor.fields if depth < _DEEPEST or field.message_type is None]
    parts = {field.name: st.none() | _values(field, ids, depth) for field in fields}
    made = message_factory.GetMessageClass(descriptor)
    return st.fixed_dictionaries(parts).map(lambda given: _filled(made(), given))


def _filled(message: Message, given: dict[str, Any]) -> Message:
    for name, value in given.items():
        if value is None:
            continue
        field = message.DESCRIPTOR.fields_by_name[name]
        if field.is_repeated:
            getattr(message, name).extend(value)
        elif field.message_type is not None:
            getattr(message, name).CopyFrom(value)
        else:
            setattr(message, name, value)
    return message


def _values(field: FieldDescriptor, ids: list[str], depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return st.none()
    one = _one(field, ids, depth)
    return st.lists(one, max_size=3) if field.is_repeated else one


def _one(field: FieldDescriptor, ids: list[str], depth: int) -> st.SearchStrategy[Any]:
    kind = FieldDescriptor
    if field.message_type is not None:
        return messages(field.message_type, ids, depth + 1)
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values] + [99])
    if field.cpp_type == kind.CPPTYPE_STRING:
        if field.type == kind.TYPE_BYTES:
            return st.binary(max_size=200)
        return st.sampled_from([*ids, *_STRANGE_TEXTS]) | st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
    if field.cpp_type == kind.CPPTYPE_BOOL:
        return st.booleans()
    if field.cpp_type in (kind.CPPTYPE_FLOAT, kind.CPPTYPE_DOUBLE):
        return st.floats(width=32)
    low, high = _BOUNDS[field.cpp_type]
    return st.sampled_from([low, -1 if low else 0, 0, 1, 7, high]) | st.integers(low, high)


_BOUNDS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def mutilated(raw: bytes) -> Iterator[bytes]:
    """The bytes of a good message, cut, flipped and blown up."""
    for at in range(0, len(raw), max(1, len(raw) // 6)):
        yield raw[:at]
        yield raw[:at] + bytes([raw[at] ^ 0xFF]) + raw[at + 1 :]
    yield raw + b"\xff" * 9
    yield raw * 3
    # A field that says it is two gigabytes long, groups that never end, nesting without end.
    yield b"\x0a\xff\xff\xff\xff\x07"
    yield b"\x0b" * 5_000
    yield b"\x0a\x7e" * 2_000
