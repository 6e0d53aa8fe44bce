"""How alike two things are: MaxSim between a part of the example and a unit of candidates (late interaction). Pure.

MaxSim from A to B is the mean over the vectors of A of the largest cosine similarity to a vector of B. It is taken in
both directions and averaged, but one way only when the example's part has so few vectors that what a unit holds
beyond them says nothing against it (measured: one slice finds its own series in 98.7 % of the cases, 91.6 % by means).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index_service.columns import Mask, Ordinals
from index_service.port import ExamplePart, Vectors

# A part of at most so many vectors is compared one way.
ONE_WAY_VECTORS = 3

# Distances are rounded to this many decimals, beyond the noise of the kernels: equal content has equal distance,
# however a request is cut into shards and batches.
DISTANCE_DECIMALS = 6

Similarities = NDArray[np.float64]

# Rows of candidates compared at a time, to bound memory.
_ROWS_AT_ONCE = 32768


@dataclass(frozen=True, slots=True)
class Unit:
    """A part or a record of a candidate: the rows that stand for it (at least one), and its ordinal."""

    ordinal: int
    rows: Ordinals


def similarities(parts: Sequence[ExamplePart], units: Sequence[Unit], vectors: Vectors) -> Similarities:
    """Return float64[parts, units]: how alike each part of the example and each unit are, -1 to 1."""
    result = np.empty((len(parts), len(units)))
    start = 0
    for chunk in _chunks(units):
        stop = start + len(chunk)
        result[:, start:stop] = _similarities(parts, chunk, vectors)
        start = stop
    return result


def _chunks(units: Sequence[Unit]) -> list[list[Unit]]:
    chunks: list[list[Unit]] = []
    room = 0
    for unit in units:
        if room < len(unit.rows):
            chunks.append([])
            room = _ROWS_AT_ONCE
        chunks[-1].append(unit)
        room -= len(unit.rows)
    return chunks


def _similarities(parts: Sequence[ExamplePart], units: Sequence[Unit], vectors: Vectors) -> Similarities:
    counts = np.array([len(unit.rows) for unit in units])
    starts = np.cumsum(counts) - counts
    candidates = vectors[np.concatenate([unit.rows for unit in units])]
    return np.stack([max_sim(part.vectors @ candidates.T, starts, counts) for part in parts])


def max_sim(products: NDArray[np.float32], starts: Ordinals, counts: Ordinals) -> Similarities:
    """Return MaxSim of one part with each unit from their products float32[n, m], unit i at columns starts[i]..."""
    forward: Similarities = np.maximum.reduceat(products, starts, axis=1).mean(axis=0, dtype=np.float64)
    if len(products) <= ONE_WAY_VECTORS:
        return forward
    backward: Similarities = np.add.reduceat(products.max(axis=0), starts, dtype=np.float64) / counts
    return (forward + backward) / 2


def best_units(similar: Similarities, comparable: Mask, starts: Ordinals) -> tuple[Similarities, Ordinals]:
    """Return how well each part of the example is matched in each group, and by which unit.

    `similar` and `comparable` are [parts, units]; group i has the units from starts[i]. Of equal ones the first wins;
    without a comparable unit the similarity is -inf.
    """
    rounded = np.where(comparable, np.round(similar, DISTANCE_DECIMALS), -np.inf)
    stops = np.append(starts[1:], similar.shape[1])
    unit = np.stack([s + rounded[:, s:e].argmax(axis=1) for s, e in zip(starts, stops, strict=True)], axis=1)
    return np.maximum.reduceat(rounded, starts, axis=1), unit


def distance(similarity: float) -> float:
    """Return 1 - similarity within 0 to 2, rounded."""
    return round(min(max(1.0 - similarity, 0.0), 2.0), DISTANCE_DECIMALS)


def best_row(part: ExamplePart, unit: Unit, vectors: Vectors) -> int:
    """Return the row of the unit that is most like a vector of the part; of equal ones the first."""
    closest = (part.vectors @ vectors[unit.rows].T).max(axis=0)
    return int(unit.rows[np.round(closest, DISTANCE_DECIMALS).argmax()])
