"""PNG and JPEG files, which are no DICOM → grey in 0..1 and the canonical frame; and grey → PNG and JPEG.

Called by `labelled` and `transforms`: sets of labelled pictures come in these formats. A file's own claim of its size
is checked before a native decoder allocates for it.
"""

import struct
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from workers.errors import Rejected, Unavailable
from workers.pixels.canvas import Floats, is_blank, to_square, trim_border
from workers.pixels.code_stream import coded_size
from workers.pixels.frames import FRAME_SIZE
from workers.pixels.grey import luma_of_colour

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_MAXIMUM_PIXELS = 64 << 20


def is_picture(path: Path) -> bool:
    """Say whether the file begins as a PNG or a JPEG. Raises Unavailable when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(len(_PNG)).startswith((_PNG, _JPEG))
    except OSError as error:
        raise Unavailable(f"read a picture: {error.strerror}") from error


def read_grey(path: Path) -> Floats:
    """Return float32[rows, columns] in 0..1 of a PNG or JPEG, colour as luma; its display scale is kept.

    Raises Rejected when it is damaged or too large, Unavailable when it cannot be read.
    """
    try:
        contents = path.read_bytes()
    except OSError as error:
        raise Unavailable(f"read a picture: {error.strerror}") from error
    _check_size(contents)
    try:
        samples = imagecodecs.png_decode(contents) if contents.startswith(_PNG) else imagecodecs.jpeg8_decode(contents)
    except Exception as error:  # every codec has its own error class
        raise Rejected("undecodable", f"decode a picture: {type(error).__name__}") from error
    return _grey(samples)


def canonical_frame(grey: Floats) -> Floats:
    """Trim, pad and resize to the frame that embedders take. Raises Rejected(blank) when nothing is on it."""
    square = to_square(trim_border(grey), FRAME_SIZE)
    if is_blank(square):
        raise Rejected("blank", "make a frame of a picture: it is uniform")
    return square


def to_png(grey: Floats) -> bytes:
    """Return the picture as an 8-bit grey PNG."""
    return bytes(imagecodecs.png_encode(_to_bytes(grey)))


def through_jpeg(grey: Floats, quality: int) -> Floats:
    """Return the picture as it comes back from an 8-bit JPEG of that quality (0 to 100)."""
    coded = imagecodecs.jpeg8_encode(_to_bytes(grey), level=quality)
    return _grey(imagecodecs.jpeg8_decode(coded))


def _check_size(contents: bytes) -> None:
    if contents.startswith(_PNG):
        if len(contents) < 24:
            raise Rejected("truncated", f"decode a picture: it has {len(contents)} bytes")
        columns, rows = struct.unpack_from(">2L", contents, 16)
    else:
        rows, columns = coded_size(contents) or (0, 0)
    if not 0 < rows * columns <= _MAXIMUM_PIXELS:
        raise Rejected("too_large", f"decode a picture: it claims {columns} x {rows} pixels")


def _grey(samples: NDArray[Any]) -> Floats:
    """Bring one to four channels to luma; a second or fourth one is transparency and dropped."""
    bits = samples.dtype.itemsize * 8
    if samples.ndim == 3 and samples.shape[2] >= 3:
        return luma_of_colour(samples, "RGB", gives_rgb=True, bits_stored=bits)
    plane = samples[..., 0] if samples.ndim == 3 else samples
    return np.asarray(plane, np.float32) / np.float32(2**bits - 1)


def _to_bytes(grey: Floats) -> NDArray[np.uint8]:
    return np.asarray(np.rint(np.clip(grey, 0.0, 1.0) * 255), np.uint8)
