"""Which vectors of a large part take part in a comparison: evenly taken over its order, the same ones every time."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from index_service.columns import Ordinals
from index_service.port import ExamplePart, Record


def evenly(count: int, limit: int) -> Ordinals:
    """Return at most `limit` ascending indices below `count`, spread evenly, each in the middle of its stretch."""
    if count <= limit:
        return np.arange(count)
    return ((2 * np.arange(limit) + 1) * count) // (2 * limit)


def sampled_parts(records: Sequence[Record], limit: int) -> tuple[ExamplePart, ...]:
    """Turn fetched records (by part, order and key) into parts of at most `limit` vectors.

    A part's attributes are those of its first record.
    """
    return tuple(_sampled(list(part), limit) for _, part in groupby(records, key=lambda record: record.part))


def _sampled(records: Sequence[Record], limit: int) -> ExamplePart:
    vectors = np.concatenate([record.vectors for record in records])
    return ExamplePart(vectors[evenly(len(vectors), limit)], records[0].attributes)
