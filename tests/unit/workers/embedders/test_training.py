"""How the fitted embedder's weights are made: views, loss, components, and a short training that learns."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from workers.decoding import Decoder
from workers.embedders.fitted import Fitted
from workers.embedders.training.augment import augment
from workers.embedders.training.components import fit, fit_components, write_weights
from workers.embedders.training.contrast import Pictures, Schedule, chances, contrastive_loss, train
from workers.embedders.training.material import read_material
from workers.labelled import LabelledFolder, Row
from workers.pixels.pictures import to_png


def drawn(count: int) -> torch.Tensor:
    """Return pictures of one bright box each, uint8[count, 128, 128]."""
    random = np.random.default_rng(4)
    pictures = np.zeros((count, 128, 128), np.uint8)
    for picture, (top, left, side) in zip(pictures, random.integers(10, 60, (count, 3)), strict=True):
        picture[top : top + side, left : left + side] = 200
    return torch.from_numpy(pictures)


def test_views_are_halved_in_range_unlike_and_repeatable() -> None:
    pictures = drawn(6).float() / 255
    first, second = (augment(pictures, torch.Generator().manual_seed(seed)) for seed in (1, 2))
    assert first.shape == (6, 64, 64)
    assert float(first.min()) >= 0.0
    assert float(first.max()) <= 1.0
    assert float((first - second).abs().mean()) > 0.01
    torch.testing.assert_close(augment(pictures, torch.Generator().manual_seed(1)), first)


def test_loss_of_two_pairs_by_hand() -> None:
    cosines = torch.tensor([[0.0, 2.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    alike = torch.tensor([[0, 1, 0], [1, 0, 0], [1, 0, 0]], dtype=torch.bool)
    compared = ~torch.eye(3, dtype=torch.bool)
    near = math.log(1 + math.exp(-2))  # a pair at 2 against another at 0
    expected = (2 * near + math.log(2)) / 3
    assert float(contrastive_loss(cosines, alike, compared)) == pytest.approx(expected, abs=1e-5)


def test_what_is_not_compared_does_not_count() -> None:
    cosines = torch.tensor([[0.0, 1.0, 9.0], [1.0, 0.0, 9.0], [9.0, 9.0, 0.0]])
    alike = torch.tensor([[0, 1, 0], [1, 0, 0], [1, 0, 0]], dtype=torch.bool)
    compared = torch.tensor([[0, 1, 0], [1, 0, 0], [1, 0, 0]], dtype=torch.bool)
    assert float(contrastive_loss(cosines, alike, compared)) == pytest.approx(0.0, abs=1e-5)


def test_a_set_counts_as_the_root_of_its_size() -> None:
    odds = chances(torch.tensor([0] * 9 + [1] * 4))
    assert float(odds[:9].sum()) == pytest.approx(3.0)
    assert float(odds[9:].sum()) == pytest.approx(2.0)


def test_components_are_the_directions_of_the_greatest_spread() -> None:
    vectors = np.array([[3, 1, 0], [-1, 1, 0], [1, 2, 0], [1, 0, 0]], np.float32)
    mean, rows = fit_components(vectors, np.ones(4), 2)
    np.testing.assert_allclose(mean, [1, 1, 0])
    np.testing.assert_allclose(rows, [[1, 0, 0], [0, 1, 0]], atol=1e-6)


def test_heavier_vectors_draw_the_mean() -> None:
    mean, _ = fit_components(np.array([[0, 1], [4, 1]], np.float32), np.array([3.0, 1.0]), 1)
    np.testing.assert_allclose(mean, [1, 1])


def test_a_trained_file_makes_an_embedder_and_training_is_repeatable(tmp_path: Path) -> None:
    sets = torch.tensor([0, 1] * 75)
    pictures = Pictures(drawn(150), sets, torch.tensor([0, -1] * 75))
    networks = [train(pictures, Schedule(steps=2, batch=8)) for _ in range(2)]
    for first, second in zip(*(network.parameters() for network in networks), strict=True):
        torch.testing.assert_close(first, second)
    frames = (pictures.pixels.float() / 255).numpy()
    write_weights(tmp_path / "fitted.npz", fit(networks[0], frames, np.ones(150)))
    embedder = Fitted(weights=tmp_path / "fitted.npz")
    assert embedder.describe().dimension == 384
    vectors = embedder.embed(frames[:4])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_material_is_permitted_rows_of_the_first_half(tmp_path: Path) -> None:
    rows = []
    for number, licence in enumerate(["permissive", "permissive", "permissive", "unstated"]):
        picture = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1)) * (number + 1) / 4
        (tmp_path / f"{number}.png").write_bytes(to_png(picture))
        rows.append(Row(f"{number}.png", "ab"[number % 2], f"set/{number}", "set", "set", licence_class=licence))
    with Decoder() as decoder:
        material = read_material(LabelledFolder(tmp_path, decoder), rows)
    # Of set/0 to set/3 the first and the last are in the first half; the last is not permitted.
    assert [row.file for row in material.rows] == ["0.png"]
    pictures = material.pictures()
    assert pictures.sets.tolist() == [0]
    assert pictures.findings.tolist() == [0]
    assert pictures.pixels.shape == (1, 128, 128)
