"""MaxSim and what a group makes of it, by hand-made numbers."""

import numpy as np
import pytest

from index_service.port import ExamplePart
from index_service.ranking import Unit, best_row, best_units, distance, max_sim, similarities
from tests.contracts.index_data import X6_Y8, X8_Y6, W, X, Y, Z, vectors


def test_few_vectors_are_matched_one_way() -> None:
    products = np.array([[1.0, 0.2, 0.5], [0.0, 0.4, 0.7]], np.float32)
    # The first unit has two columns, where the rows find 1.0 and 0.4; in the second they find 0.5 and 0.7.
    assert max_sim(products, np.array([0, 2]), np.array([2, 1])) == pytest.approx([0.7, 0.6])


def test_more_than_three_vectors_are_matched_both_ways() -> None:
    products = np.array([[1, 0], [1, 0], [0, 0], [0, 0.5]], np.float32)
    # There the mean of 1, 1, 0 and 0.5 is 0.625, back that of 1 and 0.5 is 0.75.
    assert max_sim(products, np.array([0]), np.array([2])) == pytest.approx([0.6875])


def test_similarities_do_not_depend_on_how_candidates_are_cut_into_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = vectors(X, Y, X6_Y8, Z)
    units = [Unit(0, np.array([0, 1])), Unit(1, np.array([2])), Unit(2, np.array([3]))]
    parts = [ExamplePart(vectors(X, Y)), ExamplePart(vectors(W))]
    expected = [[1.0, 0.7, 0.0], [0.0, 0.0, 0.0]]
    assert similarities(parts, units, stored) == pytest.approx(np.array(expected))
    monkeypatch.setattr("index_service.ranking._ROWS_AT_ONCE", 2)
    assert similarities(parts, units, stored) == pytest.approx(np.array(expected))


def test_each_part_takes_its_best_comparable_unit_of_each_group() -> None:
    similar = np.array([[0.1, 0.9, 0.5], [0.3, 0.3, 0.2]])
    comparable = np.array([[True, False, True], [True, True, False]])
    best, unit = best_units(similar, comparable, np.array([0, 2]))
    assert best.tolist() == [[0.1, 0.5], [0.3, -np.inf]]
    assert unit[:, 0].tolist() == [0, 0]
    assert unit[0, 1] == 2


@pytest.mark.parametrize(
    ("similarity", "expected"),
    [(1.0, 0.0), (1.0000002, 0.0), (0.25, 0.75), (-1.0, 2.0), (-1.1, 2.0), (1 / 3, 0.666667)],
)
def test_a_distance_lies_between_0_and_2(similarity: float, expected: float) -> None:
    assert distance(similarity) == expected


def test_of_equally_near_rows_the_first_is_named() -> None:
    stored = vectors(Z, X8_Y6, X8_Y6, X6_Y8)
    assert best_row(ExamplePart(vectors(X)), Unit(0, np.array([3, 0, 1, 2])), stored) == 1
