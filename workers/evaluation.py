"""How good a ranking is: precision, average precision, discounted gain, their chance level and their uncertainty.

Pure functions on arrays, called by `evaluate`. A query's row says of each gallery item whether it is allowed (ranked at
all) and whether it is relevant (a success); a query without a relevant item says nothing, and its measures are NaN.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Columns of what `measure` and `chance` return. P@k divides by k, also when fewer are allowed.
MEASURES = ("P@1", "P@5", "P@10", "mAP", "mAP@10", "nDCG@10")
_PRECISIONS = (1, 5, 10)
_CUT = 10
_RESAMPLES = 1000


def measure(similarity: NDArray[Any], relevant: Mask, allowed: Mask) -> Doubles:
    """Return float64[queries, measures] of rankings by descending similarity, ties in the gallery's order.

    All three are [queries, gallery]. mAP averages the precision at each relevant item over all of them; mAP@10 over
    the first ten ranks, divided by what ten ranks can hold; nDCG@10 likewise, with the binary gain 1 / log2(1 + rank).
    """
    order = np.argsort(np.where(allowed, -similarity, np.inf), axis=1, kind="stable")
    hits = np.take_along_axis(relevant & allowed, order, axis=1).astype(np.float64)
    total = hits.sum(axis=1)
    precision_at_hits = hits * np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    columns = [hits[:, :k].sum(axis=1) / k for k in _PRECISIONS]
    with np.errstate(invalid="ignore", divide="ignore"):
        columns.append(precision_at_hits.sum(axis=1) / total)
        columns.append(precision_at_hits[:, :_CUT].sum(axis=1) / np.minimum(total, _CUT))
        gains = (hits[:, :_CUT] * _discounts(hits.shape[1])).sum(axis=1)
        columns.append(gains / _ideal_gain(total))
    measures = np.stack(columns, axis=1)
    measures[total == 0] = np.nan
    return measures


def chance(relevant: Mask, allowed: Mask) -> Doubles:
    """Return what `measure` gives on average over all orders: float64[queries, measures], by closed formulas.

    With R of N items relevant, the item at a rank r is relevant with R/N, and then the precision there is
    (1 + (r - 1)(R - 1)/(N - 1)) / r on average.
    """
    items = allowed.sum(axis=1).astype(np.float64)
    total = (relevant & allowed).sum(axis=1).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = total / items
        ten = np.minimum(items, _CUT)
        columns = [share * np.minimum(items, k) / k for k in _PRECISIONS]
        columns.append(_precision_sum(items, total, items) / items)
        columns.append(_precision_sum(items, total, ten) * share / np.minimum(total, _CUT))
        columns.append(share * _ideal_gain(ten) / _ideal_gain(total))
    levels = np.stack(columns, axis=1)
    levels[total == 0] = np.nan
    return levels


def _precision_sum(items: Doubles, total: Doubles, ranks: Doubles) -> Doubles:
    """Return the sum over the first ranks of the mean precision at a relevant item."""
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, items.max(initial=1) + 1))])[ranks.astype(np.intp)]
    density = np.divide(total - 1, items - 1, out=np.zeros_like(total), where=items > 1)
    return np.asarray(harmonic + density * (ranks - harmonic))


def _discounts(length: int) -> Doubles:
    return 1.0 / np.log2(np.arange(2, min(_CUT, length) + 2))


def _ideal_gain(relevant: Doubles) -> Doubles:
    """Return the gain when the first ranks are relevant, as many as there are, ten at most."""
    gains = np.concatenate([[0.0], np.cumsum(_discounts(_CUT))])
    return np.asarray(gains[np.minimum(relevant, _CUT).astype(np.intp)])


def interval(values: Doubles, patients: NDArray[np.str_], seed: int = 0) -> tuple[float, float]:
    """Return the 95 % confidence interval of the mean of `values` by a bootstrap over patients, not over pictures.

    Pictures of one patient are alike, so that drawing them one by one would make the interval too narrow.
    """
    _, owners = np.unique(patients, return_inverse=True)
    sums = np.bincount(owners, values)
    counts = np.bincount(owners)
    draws = np.random.default_rng(seed).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), _RESAMPLES)
    low, high = np.percentile(draws @ sums / (draws @ counts), [2.5, 97.5])
    return float(low), float(high)


def neighbours_kept(before: NDArray[Any], after: NDArray[Any], own: int, count: int = _CUT) -> float:
    """Return the share of the first `count` items by similarity `before` that are among the first `after` as well.

    Both are [gallery]; the item `own`, the picture itself, is left out.
    """
    first, second = (set(np.argsort(-np.delete(each, own), kind="stable")[:count]) for each in (before, after))
    return len(first & second) / len(first)
