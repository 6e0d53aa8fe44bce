"""Changes of a picture on pictures small enough to see."""

import numpy as np
import pytest

from workers.pixels.canvas import Floats
from workers.transforms import TRANSFORMS, bordered, cropped, noisy, shrunk, turned


@pytest.fixture
def wedge() -> Floats:
    """A picture of 40 rows and 60 columns, brighter to the right and a little to the bottom."""
    y, x = np.mgrid[0:40, 0:60]
    return np.asarray(x / 100 + y / 200, np.float32)


def test_turned_by_a_right_angle_is_exact() -> None:
    square = np.arange(16, dtype=np.float32).reshape(4, 4) / 16
    np.testing.assert_allclose(turned(square, 90.0), np.rot90(square), atol=1e-5)
    np.testing.assert_allclose(turned(square, 0.0), square, atol=1e-6)


def test_turned_keeps_the_size_and_is_black_outside(wedge: Floats) -> None:
    result = turned(wedge + np.float32(0.1), 15.0)
    assert result.shape == (40, 60)
    assert result[0, 0] == 0.0
    assert result[20, 30] == pytest.approx(0.1 + wedge[20, 30], abs=0.01)


def test_cropped_keeps_the_middle(wedge: Floats) -> None:
    np.testing.assert_array_equal(cropped(wedge, 0.1), wedge[2:38, 3:57])


def test_bordered_adds_black_of_the_longer_side(wedge: Floats) -> None:
    result = bordered(wedge, 0.1)
    assert result.shape == (52, 72)
    assert result[:6].max() == 0.0
    np.testing.assert_array_equal(result[6:-6, 6:-6], wedge)


def test_shrunk_keeps_the_proportions(wedge: Floats) -> None:
    result = shrunk(wedge, 30)
    assert result.shape == (20, 30)
    assert result.mean() == pytest.approx(wedge.mean(), abs=1e-3)


def test_noise_has_the_spread_asked_for_and_is_repeatable() -> None:
    grey = np.full((100, 100), 0.5, np.float32)
    assert noisy(grey, 0.05).std() == pytest.approx(0.05, abs=0.002)
    np.testing.assert_array_equal(noisy(grey, 0.05), noisy(grey, 0.05))


def test_jpeg_changes_little_and_inversion_all(wedge: Floats) -> None:
    assert 0 < np.abs(TRANSFORMS["JPEG quality 30"](wedge) - wedge).mean() < 0.02
    np.testing.assert_allclose(TRANSFORMS["inverted"](wedge), 1 - wedge)
    np.testing.assert_allclose(TRANSFORMS["mirrored"](wedge)[0], wedge[0, ::-1])


@pytest.mark.parametrize("name", TRANSFORMS)
def test_values_stay_in_range(name: str, wedge: Floats) -> None:
    result = TRANSFORMS[name](wedge)
    assert result.dtype == np.float32
    assert result.min() >= 0
    assert result.max() <= 1
