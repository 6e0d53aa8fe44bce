"""Measures of rankings against small cases worked out by hand."""

from itertools import permutations
from math import isnan

import numpy as np
import pytest
from numpy.typing import NDArray

from workers.evaluation import MEASURES, chance, interval, measure, neighbours_kept


def measured(hits: list[int], allowed: list[int] | None = None) -> dict[str, float]:
    """Return the measures of one query whose gallery is ranked in the order given."""
    relevant = np.array([hits], np.bool_)
    similarity = np.linspace(1, 0, len(hits))[None]
    mask = np.ones_like(relevant) if allowed is None else np.array([allowed], np.bool_)
    return dict(zip(MEASURES, measure(similarity, relevant, mask)[0].tolist(), strict=True))


def test_hits_at_the_first_and_third_rank() -> None:
    values = measured([1, 0, 1, 0, 0])
    assert values["P@1"] == 1.0
    assert values["P@5"] == pytest.approx(0.4)
    assert values["P@10"] == pytest.approx(0.2)
    assert values["mAP"] == pytest.approx((1 + 2 / 3) / 2)
    assert values["mAP@10"] == pytest.approx((1 + 2 / 3) / 2)
    assert values["nDCG@10"] == pytest.approx(0.919721, abs=1e-6)  # (1 + 1/2) / (1 + 1/log2 3)


def test_a_hit_after_the_tenth_rank_counts_for_map_alone() -> None:
    values = measured([0] * 10 + [1])
    assert values["mAP"] == pytest.approx(1 / 11)
    assert [values[name] for name in MEASURES if name != "mAP"] == [0, 0, 0, 0, 0]


def test_ten_ranks_full_of_twelve_relevant_are_perfect() -> None:
    values = measured([1] * 12)
    assert values == pytest.approx(dict.fromkeys(MEASURES, 1.0))


def test_what_is_not_allowed_is_not_ranked() -> None:
    values = measured([1, 0, 1], allowed=[0, 1, 1])
    assert values["P@1"] == 0.0
    assert values["mAP"] == 0.5


def test_a_query_without_a_relevant_item_says_nothing() -> None:
    assert all(isnan(value) for value in measured([0, 0]).values())
    assert all(isnan(value) for value in measured([1, 0], allowed=[0, 1]).values())
    assert np.isnan(chance(np.zeros((1, 4), np.bool_), np.ones((1, 4), np.bool_))).all()


def test_ties_keep_the_gallerys_order() -> None:
    relevant = np.array([[False, True]])
    assert measure(np.array([[0.5, 0.5]]), relevant, np.ones_like(relevant))[0, 0] == 0.0


@pytest.mark.parametrize(("relevant", "items"), [(1, 1), (1, 4), (2, 5), (3, 6)])
def test_chance_is_the_mean_over_all_orders(relevant: int, items: int) -> None:
    hits = np.array([1] * relevant + [0] * (items - relevant), np.bool_)[None]
    allowed = np.ones_like(hits)
    orders = [measure(np.array([order]), hits, allowed)[0] for order in permutations(range(items))]
    np.testing.assert_allclose(chance(hits, allowed)[0], np.mean(orders, axis=0), atol=1e-12)


def test_chance_of_one_relevant_among_twenty() -> None:
    hits = np.zeros((1, 20), np.bool_)
    hits[0, 7] = True
    levels = dict(zip(MEASURES, chance(hits, np.ones_like(hits))[0].tolist(), strict=True))
    assert levels["P@1"] == pytest.approx(0.05)
    assert levels["mAP"] == pytest.approx(3.5977397 / 20)  # harmonic number of 20
    assert levels["mAP@10"] == pytest.approx(2.9289683 / 20)


def names(*values: str) -> NDArray[np.str_]:
    return np.array(values, np.str_)


def test_interval_of_values_all_alike_has_no_width() -> None:
    assert interval(np.array([0.5, 0.5, 0.5]), names("a", "b", "c")) == (0.5, 0.5)


def test_interval_is_over_patients_not_over_pictures() -> None:
    values = np.array([1.0] * 50 + [0.0] * 50)
    assert interval(values, names(*(["a"] * 50 + ["b"] * 50))) == (0.0, 1.0)
    low, high = interval(values, names(*map(str, range(100))))
    assert (low, high) == pytest.approx((0.4, 0.6), abs=0.02)


def test_interval_is_repeatable() -> None:
    values = np.linspace(0, 1, 20)
    patients = names(*map(str, range(20)))
    assert interval(values, patients) == interval(values, patients)


def test_neighbours_kept_leaves_the_picture_itself_out() -> None:
    before = np.array([1.0, 0.9, 0.8, 0.1, 0.0])
    after = np.array([0.2, 0.9, 0.0, 0.8, 1.0])
    assert neighbours_kept(before, after, own=0, count=2) == 0.5
    assert neighbours_kept(before, before, own=0, count=2) == 1.0
    assert neighbours_kept(before, after, own=0, count=3) == pytest.approx(2 / 3)
