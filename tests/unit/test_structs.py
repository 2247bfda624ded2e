"""JSON objects in the contract: refused before they can spoil an answer, and the same in Python as JSON has them."""

from __future__ import annotations

import json

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from servicekit import structs
from triptych.errors import InvalidArgument

SCALARS = st.none() | st.booleans() | st.text() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


def struct(**fields: object) -> Struct:
    made = Struct()
    made.update(fields)
    return made


def nested(levels: int) -> Struct:
    value: object = 1
    for _ in range(levels - 1):
        value = [value]
    return struct(a=value)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (struct(a=float("nan")), "NaN"),
        (struct(a=[{"b": float("inf")}]), "infinity"),
        (struct(a="x\0"), "NUL"),
        (struct(**{"x\0": 1}), "NUL"),
        (struct(a="x" * structs.MAX_BYTES), "bytes"),
        (nested(structs.MAX_DEPTH + 1), "levels"),
    ],
)
def test_what_could_not_be_read_again_is_refused(wrong: Struct, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words) as caught:
        structs.check("metadata", wrong)
    assert caught.value.metadata == {"field": "metadata"}


def test_the_deepest_that_is_accepted_can_be_read_as_part_of_a_larger_answer() -> None:
    from triptych.agent.v1.agent_pb2 import Agent, Block, ListAgentsResponse

    deepest = nested(structs.MAX_DEPTH)
    structs.check("metadata", deepest)
    answer = ListAgentsResponse(agents=[Agent(blocks=[Block(metadata=deepest)])])
    assert ListAgentsResponse.FromString(answer.SerializeToString()) == answer


@given(st.dictionaries(st.text(), JSON))
def test_what_was_json_is_the_same_json_again(original: dict[str, object]) -> None:
    there = json.loads(json.dumps(original))
    if "Infinity" not in json.dumps(original):
        assert structs.plain(ParseDict(there, Struct())) == there


def test_a_whole_number_stays_one() -> None:
    assert json.dumps(structs.plain(struct(a=3))) == '{"a": 3}'
