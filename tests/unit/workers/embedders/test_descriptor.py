"""The training-free descriptor: its tables, its blocks on pictures with a known answer, and vectors that stay put."""

import csv
import hashlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from workers.embedders.bases import circular_rows, cosine_rows, layout_rows, log_gabor
from workers.embedders.descriptor import Descriptor
from workers.embedders.features import Gradients, GreyLevels, Textures, Waves
from workers.embedders.registry import make_embedder
from workers.errors import Unavailable
from workers.pixels.canvas import is_blank, to_square, trim_border


def bars(period: int, upright: bool) -> torch.Tensor:
    """Return one picture of smooth bars."""
    line = 0.5 + 0.5 * np.sin(2 * np.pi * np.arange(128) / period)
    picture = np.tile(line, (128, 1)) if upright else np.tile(line[:, None], (1, 128))
    return torch.from_numpy(picture.astype(np.float32))[None]


@pytest.mark.parametrize("rows", [cosine_rows(16, 12), circular_rows(8, 2), layout_rows(4, 6), layout_rows(8, 18)])
def test_rows_are_orthonormal(rows: NDArray[np.floating]) -> None:
    np.testing.assert_allclose(rows @ rows.T, np.eye(len(rows)), atol=1e-12)


def test_layout_rows_are_the_lowest_first() -> None:
    rows = layout_rows(4, 3)
    np.testing.assert_allclose(rows[0], 0.25)
    assert np.ptp(rows[1].reshape(4, 4), axis=0).max() < 1e-12  # varies across only
    assert np.ptp(rows[2].reshape(4, 4), axis=1).max() < 1e-12  # varies down only


def test_waves_are_blind_to_the_mean() -> None:
    assert float(log_gabor(32, [6.0], 8)[0, :, 0, 0].abs().max()) == 0.0


def test_gradients_across_fill_the_first_orientation() -> None:
    cells = Gradients()(bars(32, upright=True))[0, :, 3, 3]
    assert int(cells.argmax()) == 0
    assert float(cells[4]) < 1e-6
    assert int(Gradients()(bars(32, upright=False))[0, :, 3, 3].argmax()) == 4


@pytest.mark.parametrize(("period", "scale"), [(6, 0), (12, 1), (24, 2), (48, 3)])
def test_waves_answer_at_the_scale_of_the_bars(period: int, scale: int) -> None:
    energy = Waves()(bars(period, upright=True))[0].mean((1, 2)).reshape(4, 8)
    assert int(energy[:, 0].argmax()) == scale
    assert int(energy[scale].argmax()) == 0


def test_textures_of_a_flat_picture_with_faint_noise_are_flat() -> None:
    noise = torch.from_numpy(np.random.default_rng(1).uniform(0.5, 0.509, (1, 128, 128)).astype(np.float32))
    np.testing.assert_allclose(Textures()(noise)[0, 0], 1.0)


def test_texture_of_a_bright_spot_has_no_brighter_neighbour() -> None:
    dark_spots = torch.ones(1, 128, 128)
    dark_spots[:, ::8, ::8] = 0.0
    shares = Textures()(dark_spots)[0, :10].mean((1, 2))
    assert float(shares[8]) == pytest.approx(1 / 64, abs=0.002)


def test_grey_levels_are_shared_between_the_two_nearest() -> None:
    shares = GreyLevels()(torch.full((1, 128, 128), 0.1))[0, :, 0, 0]
    np.testing.assert_allclose(shares[:3], [0.0, 0.5, 0.5], atol=1e-5)


def test_block_shares_sum_to_one_where_they_are_shares() -> None:
    picture = torch.from_numpy(np.random.default_rng(2).uniform(size=(1, 128, 128)).astype(np.float32))
    np.testing.assert_allclose(GreyLevels()(picture).sum(1), 1.0, atol=1e-5)
    np.testing.assert_allclose(Textures()(picture)[:, 10:20].sum(1), 1.0, atol=1e-5)


def test_vectors_stay_where_they_are() -> None:
    # Stored vectors are compared with new ones: whoever changes these numbers must change the version with them.
    y, x = np.mgrid[0:128, 0:128] / 128
    picture = (0.5 + 0.25 * np.sin(20 * x) + 0.25 * np.cos(15 * y * x)).astype(np.float32)
    description = Descriptor().describe()
    vector = Descriptor().embed(picture[None])[0]
    assert (description.version, description.preprocessing, description.dimension) == ("1", "frames-1", 384)
    np.testing.assert_allclose(vector[[1, 100, 200, 300, 383]], GOLDEN, atol=2e-5)


GOLDEN = [-0.134243, 0.024528, 0.022426, 0.027743, -0.012047]


def test_unknown_name_says_what_there_is() -> None:
    with pytest.raises(Unavailable, match="known are descriptor"):
        make_embedder("nonesuch")


def pictures_of(folder: Path, per_label: int) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """Return canonical pictures of six anatomies and their labels, the first of each by the hash of its name."""
    with (folder / "all.csv").open(encoding="utf-8", newline="") as table:
        rows = [row for row in csv.DictReader(table) if row["dataset"] == "mednist"]
    rows.sort(key=lambda row: hashlib.sha256(row["file"].encode()).digest())
    pictures, labels = [], []
    for label in sorted({row["label"] for row in rows}):
        for row in [row for row in rows if row["label"] == label][:per_label]:
            grey = imagecodecs.jpeg8_decode((folder / row["file"]).read_bytes()).astype(np.float32) / 255
            picture = to_square(trim_border(grey), 128)
            if not is_blank(picture):
                pictures.append(picture)
                labels.append(label)
    return np.stack(pictures), np.array(labels)


def mean_average_precision(vectors: NDArray[np.float32], labels: NDArray[np.str_]) -> float:
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -2.0)
    ranked = labels[np.argsort(-similarity, axis=1, kind="stable")[:, :-1]] == labels[:, None]
    precision = np.cumsum(ranked, axis=1) / np.arange(1, ranked.shape[1] + 1)
    return float(((precision * ranked).sum(axis=1) / ranked.sum(axis=1)).mean())


def test_anatomy_is_found_far_better_than_by_grey_pixels(shared_data: Path) -> None:
    pictures, labels = pictures_of(shared_data / "labelled", per_label=30)
    thumbnails = np.stack([to_square(picture, 24).ravel() for picture in pictures])
    thumbnails /= np.linalg.norm(thumbnails, axis=1, keepdims=True)
    assert mean_average_precision(thumbnails, labels) < 0.75
    assert mean_average_precision(Descriptor().embed(pictures), labels) > 0.92
