from __future__ import annotations

import pytest

from servicekit import paging
from triptych.errors import InvalidArgument
from triptych.type.v1 import type_pb2


def test_a_token_gives_its_cursor_back_to_the_query_that_made_it() -> None:
    first = paging.read(size=10, token="", query=("List", "ann"))
    again = paging.read(size=10, token=first.token((5, "x")), query=("List", "ann"))
    assert again.cursor == (5, "x")


@pytest.mark.parametrize("query", [("List", "bob"), ("Other", "ann"), ("List", "ann", "more")])
def test_a_token_of_another_query_or_user_is_refused(query: tuple[str, ...]) -> None:
    token = paging.read(size=10, token="", query=("List", "ann")).token((1,))
    with pytest.raises(InvalidArgument) as caught:
        paging.read(size=10, token=token, query=query)
    assert caught.value.reason == type_pb2.ERROR_REASON_PAGE_TOKEN_INVALID


def test_a_token_of_the_other_direction_is_refused() -> None:
    token = paging.read(size=10, token="", query=("List",)).token((1,))
    with pytest.raises(InvalidArgument):
        paging.read(size=10, token=token, query=("List",), order=type_pb2.SORT_ORDER_DESCENDING)


@pytest.mark.parametrize("token", ["x", "!!!", "bnVsbA", "W10", "é"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidArgument):
        paging.read(size=10, token=token, query=("List",))


def test_sizes_have_a_default_and_a_maximum_and_are_not_negative() -> None:
    assert paging.read(size=0, token="", query=(), default=7).size == 7
    assert paging.read(size=10**6, token="", query=(), maximum=100).size == 100
    with pytest.raises(InvalidArgument):
        paging.read(size=-1, token="", query=())
