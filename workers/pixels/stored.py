"""Frames of an instance as stored values, one at a time, wherever they lie: native, encapsulated, deflated.

Called by `reader`. Only the bytes of the frames asked for are read and decoded, so memory does not depend on how
many the instance holds.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.errors import Rejected
from workers.pixels.codecs import GIVES_RGB, decode_frame, unpack_native
from workers.pixels.description import PixelDescription, check_frame_pixels, describe_pixels
from workers.pixels.fragments import frame_fragments, read_fragments
from workers.pixels.source import PixelElement, Source

Samples = NDArray[Any]


class StoredFrames:
    """The frames that are really there; `count` may be below the number the header claims.

    Raises Rejected: no_pixel_data, unreadable, too_large, truncated when not one whole frame is there.
    """

    def __init__(self, source: Source) -> None:
        if source.pixels is None or not source.pixels.length:
            raise Rejected("no_pixel_data", "find the Pixel Data: there is none")
        self._source = source
        self._element: PixelElement = source.pixels
        self.description = _without_false_422(describe_pixels(source.header, source.pixels.keyword), source.pixels)
        self._fragments = self._find_fragments() if source.pixels.encapsulated else []
        self.count = self._count_frames()
        if not self.count:
            raise Rejected("truncated", f"find a whole frame in {self._element.length} bytes of Pixel Data")

    @property
    def gives_rgb(self) -> bool:
        """True when colour comes as RGB, whatever Photometric Interpretation says of the code stream."""
        return self._element.encapsulated and self._source.transfer_syntax in GIVES_RGB

    def read(self, index: int) -> Samples:
        """Return frame `index` (from 0) as [rows, columns] or [rows, columns, samples] of stored values.

        Raises Rejected(undecodable | truncated | too_large).
        """
        if not self._element.encapsulated:
            return _native_values(self._read_native(index), self.description)
        code_stream = read_fragments(self._source.stream, self._fragments[index])
        samples = decode_frame(self._source.transfer_syntax, code_stream, self.description)
        check_frame_pixels(*samples.shape[:2])
        if samples.ndim == 3 and samples.shape[2] == 1:
            samples = samples[..., 0]
        return _coded_values(samples, self.description)

    def _find_fragments(self) -> list[list[tuple[int, int]]]:
        extended = self._source.header.get("ExtendedOffsetTable") or b""
        claimed = self.description.number_of_frames
        return frame_fragments(self._source.stream, self._element.offset, claimed, bytes(extended))

    def _count_frames(self) -> int:
        claimed = self.description.number_of_frames
        if self._element.encapsulated:
            return min(claimed, len(self._fragments))
        return min(claimed, self._element.length * 8 // self.description.frame_bits)

    def _read_native(self, index: int) -> Samples:
        first_byte, first_bit = divmod(index * self.description.frame_bits, 8)
        size = (first_bit + self.description.frame_bits + 7) // 8
        self._source.stream.seek(self._element.offset + first_byte)
        order = ">" if self._element.big_endian else "<"
        return unpack_native(self._source.stream.read(size), self.description, order, first_bit)


def _without_false_422(description: PixelDescription, element: PixelElement) -> PixelDescription:
    """Native bytes that would hold full chroma do: the claim of 4:2:2 was kept from a decompressed code stream."""
    full = description.rows * description.columns * 3 * description.number_of_frames
    if description.photometric == "YBR_FULL_422" and (element.encapsulated or element.length >= full):
        return replace(description, photometric="YBR_FULL")
    return description


def _native_values(samples: Samples, description: PixelDescription) -> Samples:
    """Keep the stored bits: what else the allocated ones hold (overlays, noise) is no part of the value."""
    unused_above = description.bits_allocated - description.high_bit - 1
    unused = description.bits_allocated - description.bits_stored
    if description.floating or not unused or description.bits_allocated == 1:
        return samples
    values = samples.astype(samples.dtype.newbyteorder("="), copy=False)
    # An arithmetic shift right brings the sign of a signed value back.
    return np.asarray(np.right_shift(np.left_shift(values, min(unused, unused_above)), unused))


def _coded_values(samples: Samples, description: PixelDescription) -> Samples:
    """Give signed values that a code stream without a sign carried as two's complement their sign.

    Nothing is masked: a lossy code stream may overshoot the stored bits, and wrapping it would turn white to black.
    A code stream with a sign of its own is believed before the header.
    """
    if not description.signed or samples.dtype.kind != "u" or samples.ndim != 2:
        return samples
    width = samples.dtype.itemsize * 8
    unused = max(0, width - description.bits_stored)
    signed = samples.astype(samples.dtype.newbyteorder("=")).view(f"i{samples.dtype.itemsize}")
    return np.asarray(np.right_shift(np.left_shift(signed, unused), unused))
