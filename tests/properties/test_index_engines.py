"""Every engine finds what the oracle finds, in the same order, ties and filters included."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from index_service.engines import ENGINES
from index_service.engines.exact import ExactEngine

# Multiples of an eighth: products and sums of a few are exact in float32, so the kernels cannot differ by rounding.
eighths = st.integers(-8, 8).map(lambda n: n / 8)


@st.composite
def scans(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int, np.ndarray | None]:
    rows, queries, dimension = draw(st.integers(1, 80)), draw(st.integers(1, 5)), draw(st.integers(1, 6))
    vectors = draw(arrays(np.float32, (rows, dimension), elements=eighths, fill=st.just(0.5)))
    asked = draw(arrays(np.float32, (queries, dimension), elements=eighths, fill=st.just(0.25)))
    allowed = draw(st.none() | arrays(np.bool_, rows))
    return vectors, asked, draw(st.integers(1, 90)), allowed


@pytest.mark.parametrize("name", sorted(ENGINES))
@given(scan=scans())
def test_every_engine_finds_what_sorting_all_products_finds(
    name: str, scan: tuple[np.ndarray, np.ndarray, int, np.ndarray | None]
) -> None:
    vectors, queries, k, allowed = scan
    rows, scores = ENGINES[name]().nearest(vectors, queries, k, allowed)
    assert rows.shape == scores.shape == (len(queries), k)
    for query, found, score in zip(queries, rows.tolist(), scores.tolist(), strict=True):
        products = [(-float(vector @ query), row) for row, vector in enumerate(vectors)]
        best = sorted(pair for pair in products if allowed is None or allowed[pair[1]])[:k]
        missing = k - len(best)
        assert found == [row for _, row in best] + [-1] * missing
        assert score == pytest.approx([-product for product, _ in best] + [-np.inf] * missing, abs=1e-6)


@pytest.mark.parametrize("queries", [1, 40])
def test_the_fast_kernels_agree_with_the_oracle_on_many_vectors(queries: int) -> None:
    rng = np.random.default_rng(7)
    vectors = rng.standard_normal((5000, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[3000:3100] = vectors[17]  # a hundred copies of one
    allowed = rng.random(5000) < 0.3
    for mask in (None, allowed):
        rows, scores = ENGINES["flat"]().nearest(vectors, vectors[:queries], 50, mask)
        true_rows, true_scores = ExactEngine().nearest(vectors, vectors[:queries], 50, mask)
        np.testing.assert_allclose(scores, true_scores, atol=2e-6)
        # Where two scores are a rounding apart, kernels may order them differently; hardly any are.
        assert (rows == true_rows).mean() > 0.99
