"""Which groups, parts or records are worth comparing vector by vector: those that an engine finds near.

Filters are masks that the engine respects; and units already found are masked too while more are wanted, so whatever
crowd of near-equal rows one unit has, others are reached, and none is missing while it exists.
"""

from collections.abc import Sequence

import numpy as np

from index_service.columns import Mask, Ordinals
from index_service.engines.port import Engine
from index_service.port import ExamplePart, Vectors
from index_service.sampling import evenly

# How many rows an engine is asked for at first; doubled in each further round up to the most.
_FIRST_ROWS = 256
_MOST_ROWS = 4096
# An engine's scan costs about the same for each vector asked with, so only so many of an example are used here.
_MOST_QUERIES = 8


def marked(ordinals: Ordinals, count: int) -> Mask:
    """Return bool[count], true at `ordinals`."""
    mask = np.zeros(count, np.bool_)
    mask[ordinals] = True
    return mask


def frame_queries(parts: Sequence[ExamplePart]) -> Vectors:
    """Return a few vectors of the example, evenly taken over all its parts."""
    vectors = np.concatenate([part.vectors for part in parts])
    return vectors[evenly(len(vectors), _MOST_QUERIES)]


def mean_queries(parts: Sequence[ExamplePart]) -> Vectors:
    """Return the means of a few parts of the example, evenly taken."""
    means = np.stack([part.vectors.mean(axis=0, dtype=np.float32) for part in parts])
    return means[evenly(len(means), _MOST_QUERIES)]


def nearest_units(
    engine: Engine,
    vectors: Vectors,
    queries: Vectors,
    allowed: Mask,
    unit_of_row: Ordinals,
    wanted: int,
    rounds: int | None = None,
) -> list[int]:
    """Return at least `wanted` units (fewer only when there are fewer) that own the rows nearest to a query.

    `unit_of_row` gives the unit of each of `vectors`; `rounds` bounds the number of scans and with it the promise.
    """
    remaining = allowed.copy()
    found: list[int] = []
    depth = _FIRST_ROWS
    while len(found) < wanted and rounds != 0 and remaining.any():
        mask = None if remaining.all() else remaining
        rows, scores = engine.nearest(vectors, queries, min(depth, len(vectors)), mask)
        new = _by_best_score(unit_of_row, rows, scores)
        found.extend(new.tolist())
        remaining &= ~np.isin(unit_of_row, new)
        depth = min(2 * depth, _MOST_ROWS)
        rounds = None if rounds is None else rounds - 1
    return found[:wanted]


def _by_best_score(unit_of_row: Ordinals, rows: Ordinals, scores: Vectors) -> Ordinals:
    """Return the distinct units of the rows found, the one with the best score first."""
    real = rows >= 0
    units = unit_of_row[rows[real]]
    ordered = units[np.lexsort((units, -scores[real]))]
    _, first = np.unique(ordered, return_index=True)
    return ordered[np.sort(first)]
