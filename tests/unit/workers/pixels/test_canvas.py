"""The way to the canonical square."""

import numpy as np
import pytest

from workers.pixels.canvas import face_left, is_blank, shrink, to_square, trim_border


def picture(*rows: list[float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array(rows, np.float32)


def framed(
    height: int, width: int, margin: int, border: float = 0.0
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return a bright block of the size, with a border around it."""
    return np.pad(np.full((height, width), 0.5, np.float32), margin, constant_values=border)


@pytest.mark.parametrize("border", [0.0, 1.0])
def test_border_of_any_level_is_trimmed(border: float) -> None:
    assert trim_border(framed(40, 30, 20, border)).shape == (40, 30)


def test_faint_noise_and_single_specks_do_not_hold_the_border() -> None:
    noisy = framed(40, 30, 40)
    noisy[::7, ::5] += 0.03
    noisy[3, 60] = 1.0
    assert trim_border(noisy).shape == (40, 30)


def test_next_to_nothing_is_not_what_remains() -> None:
    speck = framed(4, 4, 50)
    assert trim_border(speck).shape == (104, 104)


def test_enlarging_interpolates() -> None:
    square = to_square(picture([0.0, 1.0], [0.0, 1.0]), 4)
    np.testing.assert_allclose(square[0], [0.0, 0.25, 0.75, 1.0], atol=1e-6)


def test_shrinking_averages_with_a_triangle() -> None:
    square = to_square(picture(*[[0.0, 0.0, 1.0, 1.0]] * 4), 2)
    np.testing.assert_allclose(square[0], [1 / 7, 6 / 7], atol=1e-6)


def test_shorter_side_is_padded_with_black_on_both_sides() -> None:
    square = to_square(np.full((8, 4), 0.5, np.float32), 8)
    np.testing.assert_allclose(square[0], [0, 0, 0.5, 0.5, 0.5, 0.5, 0, 0], atol=1e-6)


def test_a_line_is_not_lost() -> None:
    assert to_square(np.ones((1000, 1), np.float32), 128).sum() == pytest.approx(128)


def test_blocks_are_averaged_and_the_remainder_dropped() -> None:
    np.testing.assert_array_equal(shrink(np.array([[0, 2, 9], [4, 6, 9], [9, 9, 9]]), 2), [[3.0]])


def test_the_brighter_half_comes_to_the_left() -> None:
    np.testing.assert_array_equal(face_left(picture([0.0, 0.5, 1.0])), picture([1.0, 0.5, 0.0]))
    np.testing.assert_array_equal(face_left(picture([1.0, 0.5, 0.0])), picture([1.0, 0.5, 0.0]))


@pytest.mark.parametrize(("levels", "blank"), [([0.5, 0.5], True), ([0.5, 0.51], True), ([0.5, 0.55], False)])
def test_blank_means_next_to_no_levels(levels: list[float], blank: bool) -> None:
    assert is_blank(picture(levels)) is blank
