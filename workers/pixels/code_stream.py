"""The size a code stream claims for itself, read before a native decoder allocates for it. Pure; called by `codecs`."""

import struct

from workers.errors import Rejected

_SIZ_OF_JPEG_2000 = b"\xff\x4f\xff\x51"
_START_OF_SCAN = 0xDA
# Frame headers (SOF) of JPEG and JPEG-LS; C4, C8 and CC among them are other segments.
_FRAME_HEADERS = frozenset([*range(0xC0, 0xD0), 0xF7]) - {0xC4, 0xC8, 0xCC}
# PS3.5 8.2 wants equal sizes; pictures padded to whole blocks are met, and harmless.
_TOLERATED_GROWTH = 2


def check_coded_size(code_stream: bytes, rows: int, columns: int) -> None:
    """Raise Rejected(undecodable) when the stream claims far more pixels than the header's rows and columns."""
    size = coded_size(code_stream)
    if size is not None and size[0] * size[1] > _TOLERATED_GROWTH * rows * columns:
        claim = f"{size[1]} x {size[0]} pixels where {columns} x {rows} are described"
        raise Rejected("undecodable", f"decode a code stream: it claims {claim}")


def coded_size(code_stream: bytes) -> tuple[int, int] | None:
    """Return rows and columns of a JPEG, JPEG-LS or JPEG 2000 stream, None when it does not say."""
    if code_stream[:2] == b"\xff\xd8":
        return _size_of_jpeg(code_stream)
    siz = code_stream.find(_SIZ_OF_JPEG_2000)
    if siz < 0 or len(code_stream) < siz + 24:
        return None
    width, height, left, top = struct.unpack_from(">4L", code_stream, siz + 8)
    return max(0, height - top), max(0, width - left)


def _size_of_jpeg(code_stream: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(code_stream) and code_stream[at] == 0xFF:
        marker = code_stream[at + 1]
        if marker in _FRAME_HEADERS:
            rows, columns = struct.unpack_from(">2H", code_stream, at + 5)
            return rows, columns
        if marker == _START_OF_SCAN:
            return None
        if marker == 0xFF:  # fill byte
            at += 1
        else:
            at += 2 + struct.unpack_from(">H", code_stream, at + 2)[0]
    return None
