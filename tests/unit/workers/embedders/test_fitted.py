"""The fitted embedder: its weights as they are read, its cosine, and vectors that stay put."""

from pathlib import Path

import numpy as np
import pytest

from workers.embedders.fitted import WEIGHTS, Fitted, read_weights
from workers.errors import Corrupt, Unavailable


def waves() -> np.ndarray:
    y, x = np.mgrid[0:128, 0:128] / 128
    return (0.5 + 0.25 * np.sin(20 * x) + 0.25 * np.cos(15 * y * x)).astype(np.float32)[None]


def test_vectors_stay_where_they_are() -> None:
    # Stored vectors are compared with new ones: other weights have another digest, and so another space.
    embedder = Fitted()
    description = embedder.describe()
    assert (description.version, description.preprocessing, description.dimension) == ("1", "frames-1", 384)
    assert description.digests == (("weights", DIGEST),)
    np.testing.assert_allclose(embedder.embed(waves())[0][[0, 100, 255, 256, 383]], GOLDEN, atol=2e-5)


DIGEST = "f44b3127d80ab0e1272e06afe6440d199c97815cc22701eb5e1251ee4ff11645"
GOLDEN = [-0.32401, -0.005559, -0.003985, 0.299931, -0.005708]


def test_weights_are_small_and_hold_no_pickle() -> None:
    assert WEIGHTS.stat().st_size < 20_000_000
    arrays, _ = read_weights(WEIGHTS)
    assert all(np.isfinite(array).all() for array in arrays.values())


def test_a_mirrored_picture_stays_near() -> None:
    embedder = Fitted()
    picture = waves()
    (vector,), (mirrored,) = embedder.embed(picture), embedder.embed(np.ascontiguousarray(picture[:, :, ::-1]))
    assert vector @ mirrored > 0.5


def test_missing_weights_are_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"none\.npz"):
        Fitted(weights=tmp_path / "none.npz")


def test_damaged_weights_are_corrupt(tmp_path: Path) -> None:
    (tmp_path / "cut.npz").write_bytes(WEIGHTS.read_bytes()[:5000])
    with pytest.raises(Corrupt, match=r"cut\.npz"):
        Fitted(weights=tmp_path / "cut.npz")
    np.savez(tmp_path / "other.npz", something=np.zeros(3, np.float32))
    with pytest.raises(Corrupt, match="fitted embedder"):
        Fitted(weights=tmp_path / "other.npz")
    np.savez(tmp_path / "pickled.npz", something=np.array([{}], object))
    with pytest.raises(Corrupt, match=r"pickled\.npz"):
        Fitted(weights=tmp_path / "pickled.npz")
