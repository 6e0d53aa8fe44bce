"""Small records and spaces for tests of the index: four dimensions, distances that can be worked out by hand."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from index_service.port import Answer, Record, Vectors
from index_service.vector_space import VectorSpace

DIMENSION = 4
# Unit vectors along the axes, and some between two of them with cosines that are round numbers.
X, Y, Z, W = ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))
X8_Y6 = (0.8, 0.6, 0, 0)
X6_Y8 = (0.6, 0.8, 0, 0)

_numbers = itertools.count(1)


def new_space(dimension: int = DIMENSION) -> VectorSpace:
    """Return a space whose name no other test has."""
    return VectorSpace(f"space-{next(_numbers)}", dimension, "model", "preprocessing", "1")


def vectors(*rows: Sequence[float]) -> Vectors:
    """Return float32[n, d] of the rows."""
    return np.array(rows, np.float32)


def record(
    key: str,
    *rows: Sequence[float],
    group: str = "",
    part: str = "",
    positions: tuple[int, ...] = (),
    version: int = 1,
    order: float = 0.0,
    attributes: Mapping[str, str] | None = None,
) -> Record:
    """Return a record; its group is by default the key up to the first slash, its part up to the second."""
    names = key.split("/")
    return Record(
        key,
        group or names[0],
        part or "/".join(names[:2]),
        vectors(*rows),
        positions or tuple(range(1, len(rows) + 1)),
        version,
        order,
        attributes or {},
    )


def groups(answer: Answer) -> list[tuple[str, float]]:
    """Return group and distance of each neighbor."""
    return [(neighbor.group, neighbor.distance) for neighbor in answer.neighbors]


def content(records: Sequence[Record]) -> list[tuple[object, ...]]:
    """Return all of each record in a form that compares with ==, the vectors as lists of rounded numbers."""
    return [
        (
            r.key,
            r.group,
            r.part,
            r.vectors.astype(np.float64).round(6).tolist(),
            r.positions,
            r.version,
            r.order,
            dict(r.attributes),
        )
        for r in records
    ]
