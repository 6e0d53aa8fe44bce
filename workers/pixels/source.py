"""A stored file → its header and the place of its Pixel Data, without reading the pixels.

Called by `reader`. The rule: memory stays bounded by the header's size, however large the instance; only a deflated
data set must be inflated whole, up to `MAXIMUM_INFLATED_BYTES` (one megabyte of deflated zeros holds a gigabyte).
"""

import errno
import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_preamble
from pydicom.tag import BaseTag

from workers.errors import Rejected, Unavailable

MAXIMUM_INFLATED_BYTES = 256 << 20
UNDEFINED_LENGTH = 0xFFFFFFFF
# GE's private syntax: the data set as Implicit VR Little Endian, the Pixel Data big endian.
GE_IMPLICIT_BIG_ENDIAN_PIXELS = "1.2.840.113619.5.2"

_PIXEL_KEYWORDS = {0x7FE00010: "PixelData", 0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData"}
# A longer element is stepped over, not read: a length is only a claim, and reading allocates what it claims.
_MAXIMUM_ELEMENT_BYTES = 64 << 20
_PIXEL_VRS = (b"OB", b"OW", b"OF", b"OD", b"UN")
_CHUNK_BYTES = 1 << 20
# pydicom raises an OSError without a number at an early end; a seek to nowhere is the fault of what was read, too.
_ERRORS_OF_THE_BYTES = (None, errno.EINVAL)

_Until = Callable[[BaseTag, str | None, int], bool]


@dataclass(frozen=True, slots=True)
class PixelElement:
    """Where the value of the pixel element lies in the stream; `length` is what is really there.

    For encapsulated pixels `offset` is the first byte of the Basic Offset Table item.
    """

    keyword: str
    offset: int
    length: int
    encapsulated: bool
    big_endian: bool


@dataclass(frozen=True, slots=True)
class Source:
    """An open instance: the header before the pixels, the stream, and the pixel element where there is one."""

    header: Dataset
    transfer_syntax: str
    stream: BinaryIO
    pixels: PixelElement | None


class _BoundedReader(io.BufferedReader):
    """A file that allocates for what is there, not for the length it is asked for."""

    def __init__(self, raw: io.FileIO) -> None:
        super().__init__(raw)
        self._size_bytes = os.fstat(raw.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes."""
        if size is not None and size > _CHUNK_BYTES:
            size = min(size, max(0, self._size_bytes - self.tell()))
        return super().read(size)


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """Open the file and parse its header.

    Raises Unavailable when the file cannot be read, Rejected(unreadable) when it is no data set, Rejected(too_large)
    when a deflated one inflates beyond the bound.
    """
    try:
        with _BoundedReader(path.open("rb", buffering=0)) as stream:
            yield _parse(stream)
    except OSError as error:
        if error.errno in _ERRORS_OF_THE_BYTES:
            raise Rejected("unreadable", "parse a data set: it ends within an element") from error
        raise Unavailable(f"read a stored instance: {error.strerror}") from error


def _parse(stream: BinaryIO) -> Source:
    read_preamble(stream, force=True)
    meta = _read_elements(stream, implicit=False, little_endian=True, until=_after_file_meta)
    syntax = str(meta.get("TransferSyntaxUID", "")) or _guess_transfer_syntax(stream)
    if syntax == uid.DeflatedExplicitVRLittleEndian:
        stream = inflate(stream)
    implicit = syntax in (uid.ImplicitVRLittleEndian, GE_IMPLICIT_BIG_ENDIAN_PIXELS)
    little_endian = syntax != uid.ExplicitVRBigEndian
    header = _read_elements(stream, implicit=implicit, little_endian=little_endian, until=_at_pixels)
    header.set_original_encoding(implicit, little_endian)
    pixels = _locate_pixels(stream, implicit, little_endian, syntax)
    if pixels is None and "SOPClassUID" not in header and not meta:
        raise Rejected("unreadable", "read a data set: no instance is in it")
    return Source(header, syntax, stream, pixels)


def _read_elements(stream: BinaryIO, *, implicit: bool, little_endian: bool, until: _Until) -> Dataset:
    try:
        return read_dataset(stream, implicit, little_endian, stop_when=until, defer_size=_MAXIMUM_ELEMENT_BYTES)
    except (MemoryError, OSError):
        raise
    except Exception as error:  # pydicom meets damaged bytes with whatever its parts raise
        raise Rejected("unreadable", f"parse a data set: {type(error).__name__}") from error


def _after_file_meta(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag.group != 2


def _at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag in _PIXEL_KEYWORDS


def _guess_transfer_syntax(stream: BinaryIO) -> str:
    """Guess from the first element: explicit when its VR is letters, big endian when its group is swapped."""
    start = stream.read(6)
    stream.seek(-len(start), io.SEEK_CUR)
    if len(start) < 6 or not start[4:6].isalpha() or not start[4:6].isupper():
        return str(uid.ImplicitVRLittleEndian)
    (group,) = struct.unpack("<H", start[:2])
    return str(uid.ExplicitVRBigEndian if group >= 0x0400 else uid.ExplicitVRLittleEndian)


def inflate(stream: BinaryIO, maximum_bytes: int = MAXIMUM_INFLATED_BYTES) -> BinaryIO:
    """Return a stream of the inflated rest of `stream`, cut where the deflated bytes are damaged or end.

    Raises Rejected(too_large) above `maximum_bytes`.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    out = io.BytesIO()
    while chunk := inflater.unconsumed_tail or stream.read(_CHUNK_BYTES):
        try:
            out.write(inflater.decompress(chunk, _CHUNK_BYTES))
        except zlib.error:
            break  # what came before may still hold the header
        if out.tell() > maximum_bytes:
            raise Rejected("too_large", f"inflate a data set: more than {maximum_bytes} bytes")
    out.seek(0)
    return out


def _locate_pixels(stream: BinaryIO, implicit: bool, little_endian: bool, syntax: str) -> PixelElement | None:
    order = "<" if little_endian else ">"
    element = stream.read(8)
    if len(element) < 8:
        return None
    group, number, length = struct.unpack(order + "HHL", element)
    keyword = _PIXEL_KEYWORDS.get(group << 16 | number)
    if keyword is None:
        return None
    # Believe the bytes before the transfer syntax, as the header's reader does: some files change over.
    if element[4:6] in _PIXEL_VRS and (not implicit or element[6:8] == b"\0\0"):
        (length,) = struct.unpack(order + "L", stream.read(4).ljust(4, b"\0"))
    offset = stream.tell()
    present = stream.seek(0, io.SEEK_END) - offset
    big_endian = not little_endian or syntax == GE_IMPLICIT_BIG_ENDIAN_PIXELS
    return PixelElement(keyword, offset, min(length, present), length == UNDEFINED_LENGTH, big_endian)
