"""Stored values out of every encoding: bit depths, byte orders, code streams, and bytes that are not there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.pixels.encoders import RLELosslessEncoder

from tests.pictures import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    deflated,
    describe,
    write,
    write_code_streams,
    write_picture,
)
from workers.errors import Rejected
from workers.pixels.source import open_source
from workers.pixels.stored import StoredFrames

# Every corner of the range: 0, 1, the greatest, and something in between.
UNSIGNED_12 = np.array([[0, 1, 2047], [2048, 4094, 4095]], "<u2")
SIGNED_12 = np.array([[0, 1, 2047], [-2048, -1, -1024]], "<i2")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "instance.dcm"


def stored_values(path: Path, index: int = 0) -> NDArray[Any]:
    with open_source(path) as source:
        return StoredFrames(source).read(index)


@pytest.mark.parametrize("transfer_syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED])
@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", "<i2", "<u4", "<i4"])
def test_native_values_in_every_byte_order(file: Path, transfer_syntax: str, dtype: str) -> None:
    limits = np.iinfo(dtype)
    pixels = np.array([[limits.min, 1, 2], [3, limits.max - 1, limits.max]], dtype)
    path = write_picture(file, pixels, transfer_syntax=transfer_syntax)
    np.testing.assert_array_equal(stored_values(path), pixels)


def test_unused_high_bits_are_no_part_of_the_value(file: Path) -> None:
    overlay = np.where(UNSIGNED_12 % 2, 0xF000, 0x1000).astype("<u2")
    path = write_picture(file, UNSIGNED_12 | overlay, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(stored_values(path), UNSIGNED_12)


def test_sign_of_twelve_bits_is_extended(file: Path) -> None:
    path = write_picture(file, SIGNED_12 & 0x0FFF, BitsStored=12, HighBit=11, PixelRepresentation=1)
    np.testing.assert_array_equal(stored_values(path), SIGNED_12)


def test_values_that_lie_in_the_upper_bits_are_shifted_down(file: Path) -> None:
    path = write_picture(file, (UNSIGNED_12 << 4) | 5, BitsStored=12, HighBit=15)
    np.testing.assert_array_equal(stored_values(path), UNSIGNED_12)


def test_single_bits_need_not_start_at_a_byte(file: Path) -> None:
    frames = np.array([[[1, 0, 0], [0, 1, 1], [1, 1, 0]], [[0, 1, 1], [1, 0, 0], [0, 0, 1]]], "u1")
    raw = np.packbits(frames.ravel(), bitorder="little").tobytes() + b"\0"
    path = write_picture(file, frames, BitsAllocated=1, BitsStored=1, HighBit=0, PixelData=raw)
    np.testing.assert_array_equal(stored_values(path, 0), frames[0])
    np.testing.assert_array_equal(stored_values(path, 1), frames[1])


@pytest.mark.parametrize(("keyword", "dtype"), [("FloatPixelData", "<f4"), ("DoubleFloatPixelData", "<f8")])
def test_float_pixels(file: Path, keyword: str, dtype: str) -> None:
    pixels = np.array([[0.5, -1e6], [3.25, 1e-3]], dtype)
    description = describe(pixels, **{keyword: pixels.tobytes()})
    np.testing.assert_array_equal(stored_values(write(file, description)), pixels)


JPEG_LOSSLESS, JPEG_LS, JPEG_2000, RLE = (
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.5",
)
JPEG_XL, DEFLATED_FRAMES = "1.2.840.10008.1.2.4.110", "1.2.840.10008.1.2.8.1"


def gradient(dtype: str, top: int) -> NDArray[Any]:
    return np.linspace(0, top, 32 * 24).reshape(32, 24).astype(dtype)


def deflate(pixels: NDArray[Any]) -> bytes:
    return deflated(pixels.tobytes())


def run_lengths(pixels: NDArray[Any]) -> bytes:
    bits = pixels.dtype.itemsize * 8
    samples = 3 if pixels.ndim == 3 else 1
    return RLELosslessEncoder.encode(
        pixels,
        rows=pixels.shape[0],
        columns=pixels.shape[1],
        number_of_frames=1,
        samples_per_pixel=samples,
        bits_allocated=bits,
        bits_stored=bits,
        pixel_representation=0,
        photometric_interpretation="RGB" if samples == 3 else "MONOCHROME2",
        planar_configuration=0,
    )


@pytest.mark.parametrize(
    ("transfer_syntax", "encode"),
    [
        (JPEG_LOSSLESS, lambda pixels: imagecodecs.jpeg8_encode(pixels, lossless=True)),
        (JPEG_LS, imagecodecs.jpegls_encode),
        (JPEG_2000, lambda pixels: imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k")),
        (JPEG_XL, lambda pixels: imagecodecs.jpegxl_encode(pixels, lossless=True)),
        (RLE, run_lengths),
        (DEFLATED_FRAMES, deflate),
    ],
)
@pytest.mark.parametrize(("dtype", "top"), [("u1", 255), ("<u2", 4095), ("<u2", 65535)])
def test_lossless_code_streams_give_the_values_back(
    file: Path, transfer_syntax: str, encode: Callable[[NDArray[Any]], bytes], dtype: str, top: int
) -> None:
    pixels = gradient(dtype, top)
    path = write_code_streams(file, describe(pixels), [encode(pixels)], transfer_syntax)
    np.testing.assert_array_equal(stored_values(path), pixels)


def test_colour_run_lengths_come_as_pixels(file: Path) -> None:
    colour = np.stack([gradient("u1", 255), gradient("u1", 100), gradient("u1", 7)], -1)
    path = write_code_streams(file, describe(colour, samples=3), [run_lengths(colour)], RLE)
    np.testing.assert_array_equal(stored_values(path), colour)


def test_code_stream_without_a_sign_gets_it_from_the_header(file: Path) -> None:
    code_stream = imagecodecs.jpegls_encode(np.ascontiguousarray((SIGNED_12 & 0x0FFF).astype("<u2")))
    description = describe(SIGNED_12, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(
        stored_values(write_code_streams(file, description, [code_stream], JPEG_LS)), SIGNED_12
    )


def test_code_stream_with_a_sign_is_believed_before_the_header(file: Path) -> None:
    code_stream = imagecodecs.jpeg2k_encode(SIGNED_12, level=0, codecformat="j2k")
    description = describe(SIGNED_12, PixelRepresentation=0)
    path = write_code_streams(file, description, [code_stream], JPEG_2000)
    np.testing.assert_array_equal(stored_values(path), SIGNED_12)


def test_twelve_bit_jpeg_keeps_twelve_bits(file: Path) -> None:
    pixels = gradient("<u2", 4095)
    code_stream = imagecodecs.jpeg8_encode(pixels, level=100, bitspersample=12)
    path = write_code_streams(
        file, describe(pixels, BitsStored=12, HighBit=11), [code_stream], "1.2.840.10008.1.2.4.51"
    )
    assert int(np.abs(stored_values(path).astype(int) - pixels).max()) <= 8


@pytest.mark.parametrize(("photometric", "expected"), [("RGB", (200, 100, 50)), ("YBR_FULL", (91, 255, 150))])
def test_unmarked_colour_jpeg_follows_photometric_interpretation(
    file: Path, photometric: str, expected: tuple[int, int, int]
) -> None:
    colour = np.full((16, 16, 3), (200, 100, 50), "u1")
    code_stream = imagecodecs.jpeg8_encode(colour, level=100, colorspace="RGB", outcolorspace="RGB")
    marker = code_stream.index(b"\xff\xee\x00\x0eAdobe")
    unmarked = code_stream[:marker] + code_stream[marker + 16 :]
    components = unmarked.index(b"\xff\xc0") + 10  # their identifiers would say RGB too
    description = describe(colour, samples=3, PhotometricInterpretation=photometric)
    assert unmarked[components : components + 1] == b"R"
    for name, number in ((b"R", b"\1"), (b"G", b"\2"), (b"B", b"\3")):
        unmarked = unmarked.replace(name + b"\x11", number + b"\x11").replace(name + b"\0", number + b"\0")
    path = write_code_streams(file, description, [unmarked], "1.2.840.10008.1.2.4.50")
    np.testing.assert_allclose(stored_values(path)[8, 8], expected, atol=3)


def test_run_lengths_padded_with_the_start_of_a_run_are_read(file: Path) -> None:
    pixels = gradient("u1", 255)
    path = write_code_streams(file, describe(pixels), [run_lengths(pixels).rstrip(b"\0") + b"\x20"], RLE)
    np.testing.assert_array_equal(stored_values(path), pixels)


def test_frames_of_a_cine_are_told_apart_without_an_offset_table(file: Path) -> None:
    pixels = np.stack([gradient("u1", top) for top in (50, 100, 200)])
    code_streams = [imagecodecs.jpegls_encode(frame) for frame in pixels]
    path = write_code_streams(file, describe(pixels), code_streams, JPEG_LS, has_table=False)
    np.testing.assert_array_equal(stored_values(path, 2), pixels[2])


def rejection(path: Path) -> Rejected:
    with pytest.raises(Rejected) as caught:
        stored_values(path)
    return caught.value


def test_unknown_transfer_syntax_is_undecodable(file: Path) -> None:
    path = write_code_streams(file, describe(gradient("u1", 255)), [b"abcd"], "1.2.840.10008.1.2.4.102")
    assert rejection(path).code == "undecodable"


@pytest.mark.parametrize("transfer_syntax", [JPEG_LOSSLESS, JPEG_LS, JPEG_2000, JPEG_XL, RLE, DEFLATED_FRAMES])
@pytest.mark.parametrize("junk", [b"\0\0", b"\xff\xd8\xff\xd9", b"\x01" * 64, b"\xff" * 1000])
def test_damaged_code_stream_is_rejected(file: Path, transfer_syntax: str, junk: bytes) -> None:
    path = write_code_streams(file, describe(gradient("<u2", 4095)), [junk], transfer_syntax)
    assert rejection(path).code in ("undecodable", "truncated")


def test_fewer_bytes_than_one_frame_are_truncated(file: Path) -> None:
    path = write_picture(file, UNSIGNED_12, PixelData=UNSIGNED_12.tobytes()[:8])
    assert rejection(path).code == "truncated"


def test_a_file_cut_within_its_only_frame_is_truncated(file: Path) -> None:
    pixels = gradient("u1", 255)
    write_code_streams(file, describe(pixels), [imagecodecs.jpegls_encode(pixels)], JPEG_LS)
    file.write_bytes(file.read_bytes()[:-40])
    assert rejection(file).code == "truncated"


def test_frames_that_are_claimed_but_not_there_do_not_count(file: Path) -> None:
    path = write_picture(file, np.zeros((3, 4, 4), "<u2"), NumberOfFrames=2_000_000_000)
    with open_source(path) as source:
        assert StoredFrames(source).count == 3


def test_no_pixel_data(file: Path) -> None:
    assert rejection(write(file, describe(UNSIGNED_12))).code == "no_pixel_data"


def test_empty_pixel_data(file: Path) -> None:
    assert rejection(write_picture(file, UNSIGNED_12, PixelData=b"")).code == "no_pixel_data"


@pytest.mark.parametrize(
    ("elements", "code"),
    [
        ({"Rows": 65535, "Columns": 65535}, "too_large"),
        ({"Rows": 0}, "unreadable"),
        ({"Columns": None}, "unreadable"),
        ({"SamplesPerPixel": 200}, "unreadable"),
        ({"BitsAllocated": 7}, "unreadable"),
        ({"BitsStored": 17}, "unreadable"),
        ({"BitsStored": 0}, "unreadable"),
        ({"BitsAllocated": None, "BitsStored": None}, "unreadable"),
        ({"BitsAllocated": 64, "BitsStored": 64, "Rows": 8000, "Columns": 8000}, "truncated"),
    ],
)
def test_headers_that_describe_no_frame_or_too_much_of_one(file: Path, elements: dict[str, Any], code: str) -> None:
    assert rejection(write_picture(file, UNSIGNED_12, **elements)).code == code


def test_optional_elements_get_what_the_rest_implies(file: Path) -> None:
    missing = dict.fromkeys(("PhotometricInterpretation", "SamplesPerPixel", "HighBit", "BitsStored"))
    np.testing.assert_array_equal(stored_values(write_picture(file, UNSIGNED_12, **missing)), UNSIGNED_12)
