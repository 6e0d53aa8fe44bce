"""PNG and JPEG files: grey of each kind of pixel, and what is refused."""

import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from workers.errors import Rejected, Unavailable
from workers.pixels.pictures import canonical_frame, is_picture, read_grey, to_png


def written(path: Path, contents: bytes) -> Path:
    path.write_bytes(contents)
    return path


def test_eight_and_sixteen_bits_share_a_scale(tmp_path: Path) -> None:
    for samples in (np.full((4, 6), 51, np.uint8), np.full((4, 6), 13107, np.uint16)):
        grey = read_grey(written(tmp_path / "a.png", imagecodecs.png_encode(samples)))
        assert grey.shape == (4, 6)
        np.testing.assert_allclose(grey, 0.2, atol=1e-6)


def test_colour_becomes_luma_and_transparency_is_dropped(tmp_path: Path) -> None:
    green = np.zeros((4, 4, 4), np.uint8)
    green[..., 1] = 255
    np.testing.assert_allclose(read_grey(written(tmp_path / "a.png", imagecodecs.png_encode(green))), 0.587, atol=1e-6)
    grey_with_alpha = np.zeros((4, 4, 2), np.uint8)
    grey_with_alpha[..., 0] = 255
    contents = imagecodecs.png_encode(grey_with_alpha)
    np.testing.assert_allclose(read_grey(written(tmp_path / "b.png", contents)), 1.0)


def test_jpeg_is_read(tmp_path: Path) -> None:
    contents = imagecodecs.jpeg8_encode(np.full((8, 8), 102, np.uint8), level=95)
    path = written(tmp_path / "a.jpg", contents)
    assert is_picture(path)
    np.testing.assert_allclose(read_grey(path), 0.4, atol=0.01)


def test_png_and_back_is_the_same(tmp_path: Path) -> None:
    grey = np.arange(16, dtype=np.float32).reshape(4, 4) / 255
    np.testing.assert_allclose(read_grey(written(tmp_path / "a.png", to_png(grey))), grey, atol=1e-7)


def test_a_claim_of_too_many_pixels_is_refused_unread(tmp_path: Path) -> None:
    contents = bytearray(imagecodecs.png_encode(np.zeros((4, 4), np.uint8)))
    struct.pack_into(">2L", contents, 16, 100_000, 100_000)
    with pytest.raises(Rejected, match="100000 x 100000") as rejection:
        read_grey(written(tmp_path / "a.png", bytes(contents)))
    assert rejection.value.code == "too_large"


@pytest.mark.parametrize(("kept", "code"), [(12, "truncated"), (60, "undecodable")])
def test_damaged_pictures_are_rejected(tmp_path: Path, kept: int, code: str) -> None:
    contents = imagecodecs.png_encode(np.random.default_rng(1).integers(0, 255, (64, 64), np.uint8))
    with pytest.raises(Rejected) as rejection:
        read_grey(written(tmp_path / "a.png", contents[:kept]))
    assert rejection.value.code == code


def test_a_missing_file_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="No such file"):
        is_picture(tmp_path / "none.png")


def test_a_uniform_picture_has_no_frame() -> None:
    with pytest.raises(Rejected, match="uniform"):
        canonical_frame(np.full((64, 64), 0.3, np.float32))
