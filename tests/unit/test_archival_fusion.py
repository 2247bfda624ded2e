"""How hits by meaning and by words are added up."""

from __future__ import annotations

import pytest

from archival_service.search import DENSE_WEIGHT, SPARSE_WEIGHT, fuse
from archival_service.store import Found


def test_each_side_counts_by_its_share_of_its_best() -> None:
    scored = fuse([Found(1, 0.8), Found(2, 0.4)], [Found(2, 12.0), Found(3, 3.0)])
    assert {each.n: (each.dense, each.sparse) for each in scored} == {1: (1.0, 0.0), 2: (0.5, 1.0), 3: (0.0, 0.25)}
    for each in scored:
        assert each.score == pytest.approx(DENSE_WEIGHT * each.dense + SPARSE_WEIGHT * each.sparse)
    assert [each.n for each in scored] == [2, 1, 3]


@pytest.mark.parametrize("both", [([Found(1, 0.3), Found(2, 0.1)], []), ([], [Found(1, 9.0), Found(2, 3.0)])])
def test_one_side_alone_counts_fully(both: tuple[list[Found], list[Found]]) -> None:
    assert fuse(*both)[0].score == 1.0


def test_what_points_away_from_the_query_is_no_hit() -> None:
    assert [each.n for each in fuse([Found(1, 0.5), Found(2, 0.0), Found(3, -0.5)], [])] == [1]


def test_of_equal_hits_the_newest_is_first() -> None:
    assert [each.n for each in fuse([Found(1, 0.5), Found(2, 0.5)], [])] == [2, 1]
