"""What an engine can be asked: the rows nearest to given vectors, among those allowed."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from index_service.port import Vectors

Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]
Scores = NDArray[np.float32]

# Kernels differ in the last bits of a sum. Scores are rounded to this many decimals, beyond that noise, before they are
# ordered, so that equal vectors tie whichever kernel met them and every engine orders alike.
SCORE_DECIMALS = 6


class Engine(Protocol):
    """A way to scan rows of unit length for the largest inner product."""

    def nearest(self, vectors: Vectors, queries: Vectors, k: int, allowed: Mask | None) -> tuple[Rows, Scores]:
        """Return int64[q, k] rows of `vectors` float32[n, d] and their scores, for each of `queries` float32[q, d].

        By score (rounded) falling, then row rising. Only rows that `allowed` bool[n] marks (None: all) are returned,
        and all of them when they are fewer than k; what is left over is filled with row -1 and score -inf.
        """
