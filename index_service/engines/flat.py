"""The default engine: FAISS's brute-force kernel over the rows as they lie in memory, filters as a bitmap.

Nothing is copied or trained, a changed row is found at once, and no filter can lose a result.
"""

import faiss
import numpy as np

from index_service.engines.exact import ExactEngine
from index_service.engines.port import SCORE_DECIMALS, Mask, Rows, Scores
from index_service.port import Vectors

# FAISS cuts ties at k as it likes: this many more rows are fetched, so that ties across the cut are seen.
_SPARE_ROWS = 16


class FlatEngine:
    """`faiss.knn_inner_product` over the matrix."""

    def nearest(self, vectors: Vectors, queries: Vectors, k: int, allowed: Mask | None) -> tuple[Rows, Scores]:
        """See `Engine.nearest`."""
        rows, scores = _scan(vectors, queries, k + _SPARE_ROWS, allowed)
        scores = np.round(scores, SCORE_DECIMALS)
        order = np.lexsort((rows, -scores), axis=1)[:, :k]
        cut_tie = np.isfinite(scores[:, -1]) & (scores[:, k - 1] == scores[:, -1])
        rows, scores = np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1)
        for i in np.flatnonzero(cut_tie):
            rows[i : i + 1], scores[i : i + 1] = ExactEngine().nearest(vectors, queries[i : i + 1], k, allowed)
        return rows, scores


def _scan(vectors: Vectors, queries: Vectors, k: int, allowed: Mask | None) -> tuple[Rows, Scores]:
    # OpenMP keeps the number of threads per calling thread: queries share the cores, not the threads of one query.
    faiss.omp_set_num_threads(1)
    # FAISS's default sends small batches to the slow path; measured 3 to 4 times faster for batches of 32.
    faiss.cvar.distance_compute_blas_threshold = max(800, 2 * vectors.shape[1])
    vectors, queries = np.ascontiguousarray(vectors), np.ascontiguousarray(queries)
    rows = np.full((len(queries), k), -1, np.int64)
    scores = np.full((len(queries), k), -np.inf, np.float32)
    selected = None if allowed is None else np.packbits(allowed, bitorder="little")
    faiss.knn_inner_product(
        faiss.swig_ptr(queries),
        faiss.swig_ptr(vectors),
        vectors.shape[1],
        len(queries),
        len(vectors),
        k,
        faiss.swig_ptr(scores),
        faiss.swig_ptr(rows),
        None if selected is None else faiss.IDSelectorBitmap(len(vectors), faiss.swig_ptr(selected)),
    )
    scores[rows < 0] = -np.inf
    return rows, scores
