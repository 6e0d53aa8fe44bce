"""Sizes that code streams claim, checked before they are decoded."""

import struct
import time

import imagecodecs
import numpy as np
import pytest

from workers.errors import Rejected
from workers.pixels.code_stream import check_coded_size, coded_size

PICTURE = np.arange(24 * 32, dtype="<u2").reshape(24, 32)


@pytest.mark.parametrize(
    "code_stream",
    [
        imagecodecs.jpeg8_encode(PICTURE.astype("u1")),
        imagecodecs.jpeg8_encode(PICTURE, lossless=True),
        imagecodecs.jpegls_encode(PICTURE),
        imagecodecs.jpeg2k_encode(PICTURE, codecformat="j2k"),
        imagecodecs.jpeg2k_encode(PICTURE, codecformat="jp2"),
    ],
)
def test_size_is_rows_and_columns(code_stream: bytes) -> None:
    assert coded_size(code_stream) == (24, 32)


@pytest.mark.parametrize("code_stream", [b"", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8" + b"\xff" * 50, b"\0" * 100])
def test_streams_that_do_not_say(code_stream: bytes) -> None:
    assert coded_size(code_stream) is None


def test_segment_of_no_length_does_not_hold_the_search() -> None:
    started = time.monotonic()
    assert coded_size(b"\xff\xd8" + b"\xff\xe0\0\0" * 100_000) is None
    assert time.monotonic() - started < 5.0


def test_stream_that_claims_far_more_than_the_header_is_rejected() -> None:
    code_stream = bytearray(imagecodecs.jpegls_encode(PICTURE))
    frame_header = code_stream.index(b"\xff\xf7")
    struct.pack_into(">2H", code_stream, frame_header + 5, 65535, 65535)
    with pytest.raises(Rejected, match="65535 x 65535 pixels where 32 x 24") as rejection:
        check_coded_size(bytes(code_stream), 24, 32)
    assert rejection.value.code == "undecodable"


def test_a_little_more_is_tolerated() -> None:
    check_coded_size(imagecodecs.jpegls_encode(PICTURE), 20, 30)
