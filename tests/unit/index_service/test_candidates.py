"""Candidates: asked for more, the search goes on past what it has found, until nothing is left."""

import numpy as np
import pytest

from index_service.candidates import frame_queries, mean_queries, nearest_units
from index_service.engines.exact import ExactEngine
from index_service.port import ExamplePart
from tests.contracts.index_data import X, Y, vectors

# Unit 0 has 3000 rows at the query, unit 1 some a little off, units 2 to 9 one each, farther and farther.
ROWS = vectors(*[X] * 3000, *[(1, 0.01, 0, 0)] * 3000, *[(1, i, 0, 0) for i in range(2, 10)])
UNIT_OF_ROW = np.repeat(np.arange(10), [3000, 3000, *[1] * 8])
EVERY = np.ones(len(ROWS), np.bool_)


def nearest(wanted: int, allowed: np.ndarray = EVERY, rounds: int | None = None) -> list[int]:
    scaled = ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True)
    return nearest_units(ExactEngine(), scaled, vectors(X), allowed, UNIT_OF_ROW, wanted, rounds)


@pytest.mark.parametrize("wanted", [1, 2, 5, 10])
def test_as_many_units_as_wanted_are_found_nearest_first(wanted: int) -> None:
    assert nearest(wanted) == list(range(wanted))


def test_all_are_found_when_more_are_wanted_than_there_are() -> None:
    assert nearest(50) == list(range(10))


def test_rows_that_are_not_allowed_do_not_bring_their_unit() -> None:
    assert nearest(50, UNIT_OF_ROW % 2 == 1) == [1, 3, 5, 7, 9]


def test_rounds_bound_the_search() -> None:
    assert nearest(5, rounds=1) == [0]


def test_few_queries_stand_for_a_large_example() -> None:
    parts = [ExamplePart(vectors(*[X] * 60)), ExamplePart(vectors(*[Y] * 20, *[X] * 20))]
    assert frame_queries(parts).tolist() == [list(each) for each in (X, X, X, X, X, Y, X, X)]
    assert mean_queries(parts).tolist() == [list(X), [0.5, 0.5, 0, 0]]
