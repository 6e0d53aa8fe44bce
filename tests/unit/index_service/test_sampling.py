"""Even sampling: deterministic, spread over the whole, unchanged when small enough."""

import numpy as np
import pytest

from index_service.sampling import evenly, sampled_parts
from tests.contracts.index_data import X, Y, Z, record


@pytest.mark.parametrize(
    ("count", "limit", "expected"),
    [
        (0, 4, []),
        (3, 4, [0, 1, 2]),
        (4, 4, [0, 1, 2, 3]),
        (5, 4, [0, 1, 3, 4]),
        (8, 4, [1, 3, 5, 7]),
        (100, 4, [12, 37, 62, 87]),
        (10, 1, [5]),
    ],
)
def test_indices_are_spread_evenly(count: int, limit: int, expected: list[int]) -> None:
    assert evenly(count, limit).tolist() == expected


def test_parts_are_cut_at_their_names_and_take_the_first_records_attributes() -> None:
    parts = sampled_parts(
        [
            record("g/s/i", X, Y, attributes={"modality": "CT"}),
            record("g/s/j", Z, attributes={"modality": "MR"}),
            record("g/t/i", Z),
        ],
        limit=2,
    )
    assert [part.vectors.tolist() for part in parts] == [[list(X), list(Z)], [list(Z)]]
    assert [part.attributes for part in parts] == [{"modality": "CT"}, {}]
    assert parts[0].vectors.dtype == np.float32
