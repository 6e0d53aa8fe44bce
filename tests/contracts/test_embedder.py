"""What every embedder owes: unit length, finite, repeatable, alone as in a batch, and no vector for nothing.

Run on each embedder of the registry that can be made here; a new one needs no new test.
"""

import subprocess
import sys
from dataclasses import replace
from itertools import starmap

import numpy as np
import pytest
from numpy.typing import NDArray

from workers.embedders.port import Embedder
from workers.embedders.registry import ENTRIES, make_embedder
from workers.errors import Rejected
from workers.pixels.frames import FRAME_SIZE, PREPROCESSING_VERSION, FrameMeta

AVAILABLE = sorted(name for name, entry in ENTRIES.items() if not entry.missing())


@pytest.fixture(scope="module", params=AVAILABLE)
def embedder(request: pytest.FixtureRequest) -> Embedder:
    return make_embedder(request.param)


def discs(count: int, seed: int = 7) -> NDArray[np.float32]:
    """Return pictures of a bright disc with noise, each of its own place, size and level."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:FRAME_SIZE, 0:FRAME_SIZE] / FRAME_SIZE
    pictures = []
    for across, down, radius, level in random.uniform([0.3, 0.3, 0.1, 0.4], [0.7, 0.7, 0.3, 0.9], (count, 4)):
        disc = level * (np.hypot(x - across, y - down) < radius)
        pictures.append(np.clip(disc + random.normal(0.05, 0.02, disc.shape), 0, 1))
    return np.stack(pictures).astype(np.float32)


def test_vectors_are_finite_unit_float32_of_the_described_dimension(embedder: Embedder) -> None:
    vectors = embedder.embed(discs(5))
    assert vectors.dtype == np.float32
    assert vectors.shape == (5, embedder.describe().dimension)
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_dimension_is_small_enough_to_keep_many(embedder: Embedder) -> None:
    assert 64 <= embedder.describe().dimension <= 384


def test_alone_is_as_in_a_batch(embedder: Embedder) -> None:
    pictures = discs(70)
    batch = embedder.embed(pictures)
    for number in (0, 31, 32, 69):
        np.testing.assert_allclose(embedder.embed(pictures[number : number + 1])[0], batch[number], atol=1e-5)


def test_the_order_of_a_batch_is_kept(embedder: Embedder) -> None:
    pictures = discs(40)
    np.testing.assert_allclose(embedder.embed(pictures[::-1].copy()), embedder.embed(pictures)[::-1], atol=1e-5)


def test_again_is_the_same_to_the_bit(embedder: Embedder) -> None:
    pictures = discs(8)
    np.testing.assert_array_equal(embedder.embed(pictures), embedder.embed(pictures.copy()))


def test_another_process_gives_the_same_vectors(embedder: Embedder) -> None:
    name = embedder.describe().name
    program = (
        "import sys, numpy; from workers.embedders.registry import make_embedder\n"
        "pictures = numpy.frombuffer(sys.stdin.buffer.read(), numpy.float32).reshape(-1, 128, 128)\n"
        f"sys.stdout.buffer.write(make_embedder({name!r}).embed(pictures).tobytes())"
    )
    pictures = discs(3)
    result = subprocess.run([sys.executable, "-c", program], input=pictures.tobytes(), capture_output=True, check=True)
    there = np.frombuffer(result.stdout, np.float32).reshape(3, -1)
    np.testing.assert_allclose(there, embedder.embed(pictures), atol=1e-5)


def test_no_pictures_give_no_vectors(embedder: Embedder) -> None:
    assert embedder.embed(discs(1)[:0]).shape == (0, embedder.describe().dimension)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_blank_picture_is_rejected_not_embedded(embedder: Embedder, level: float) -> None:
    pictures = discs(2)
    pictures[1] = level
    with pytest.raises(Rejected, match="frame 1") as rejection:
        embedder.embed(pictures)
    assert rejection.value.code == "blank"


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 1.1])
def test_values_out_of_range_are_the_callers_mistake(embedder: Embedder, value: float) -> None:
    pictures = discs(1)
    pictures[0, 3, 4] = value
    with pytest.raises(ValueError, match="outside"):
        embedder.embed(pictures)


@pytest.mark.parametrize(
    "pictures", [np.zeros((2, 64, 64), np.float32), np.zeros((128, 128), np.float32), np.zeros((1, 128, 128))]
)
def test_what_is_no_batch_of_frames_is_the_callers_mistake(embedder: Embedder, pictures: NDArray[np.float32]) -> None:
    with pytest.raises(ValueError, match="is wanted"):
        embedder.embed(pictures)


def test_facts_about_frames_are_taken(embedder: Embedder) -> None:
    meta = list(starmap(FrameMeta, [("CT", "CHEST"), ("MR", "HEAD")]))
    assert embedder.embed(discs(2), meta).shape[0] == 2


def test_like_is_nearer_than_unlike(embedder: Embedder) -> None:
    discs_and_bars = discs(3)
    discs_and_bars[2] = np.tile((np.arange(FRAME_SIZE) // 8 % 2).astype(np.float32), (FRAME_SIZE, 1))
    vectors = embedder.embed(discs_and_bars)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1


def test_a_slightly_dimmer_picture_is_nearly_the_same(embedder: Embedder) -> None:
    pictures = discs(4)
    dimmed = (pictures * np.float32(0.97)).astype(np.float32)
    assert ((embedder.embed(pictures) * embedder.embed(dimmed)).sum(axis=1) > 0.9).all()


def test_description_names_a_space_of_its_own(embedder: Embedder) -> None:
    description = embedder.describe()
    space = description.vector_space()
    assert space.dimension == description.dimension
    assert space.preprocessing == PREPROCESSING_VERSION
    assert description.version in space.name
    assert description.licence
    assert embedder.describe() == description


def test_other_weights_are_another_space(embedder: Embedder) -> None:
    description = embedder.describe()
    other = replace(description, digests=(("weights", "ab" * 32),))
    assert other.vector_space().name != description.vector_space().name
