"""The dumb and obvious engine: all products, sorted. The oracle that the others are held against."""

import numpy as np

from index_service.engines.port import SCORE_DECIMALS, Mask, Rows, Scores
from index_service.port import Vectors


class ExactEngine:
    """Plain numpy."""

    def nearest(self, vectors: Vectors, queries: Vectors, k: int, allowed: Mask | None) -> tuple[Rows, Scores]:
        """See `Engine.nearest`."""
        candidates = np.arange(len(vectors)) if allowed is None else np.flatnonzero(allowed)
        rows = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        for i, query in enumerate(queries):
            found = np.round(vectors[candidates] @ query, SCORE_DECIMALS)
            best = np.lexsort((candidates, -found))[:k]
            rows[i, : len(best)] = candidates[best]
            scores[i, : len(best)] = found[best]
        return rows, scores
