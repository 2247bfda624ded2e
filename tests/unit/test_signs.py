"""How many signs differ, counted in pieces, is what there is to count."""

from __future__ import annotations

import numpy as np
import pytest

from recall_service.stores.signs import Signs, _turned


@pytest.mark.parametrize("vectors", [0, 1, 8_000, 32_768, 32_769, 70_001])
@pytest.mark.parametrize("dimensions", [64, 100, 256, 512])
def test_each_differing_sign_is_counted_once(vectors: int, dimensions: int) -> None:
    made = np.random.default_rng(vectors).standard_normal((vectors + 1, dimensions), dtype=np.float32)
    query, rows = made[0], made[1:]
    signs = Signs().grown(rows[: vectors // 2]).grown(rows[vectors // 2 :])
    expected = ((_turned(rows) > 0) != (_turned(query[None]) > 0)).sum(axis=1)
    assert (signs.differing(query) == expected).all()


def test_the_opposite_differs_in_all_of_many() -> None:
    rows = np.random.default_rng(1).standard_normal((3, 1_024), dtype=np.float32)
    assert Signs().grown(-rows[:1]).differing(rows[0]).tolist() == [1_024]
