"""Where each frame's bytes lie in encapsulated Pixel Data (PS3.5 A.4), found without reading them.

Called by `stored`. Tables are claims: an offset table is used only when its offsets are starts of items that are
really there; otherwise frames are told apart by their number or by the end marker of the code streams.
"""

import io
import struct
from collections.abc import Sequence
from typing import BinaryIO

_ITEM = 0xFFFEE000
_MAXIMUM_TABLE_BYTES = 64 << 20
_MAXIMUM_ITEMS = 4 << 20
_END_OF_IMAGE = b"\xff\xd9"  # JPEG, JPEG-LS and JPEG 2000 alike

# (offset of the value in the stream, length)
Fragment = tuple[int, int]


def frame_fragments(
    stream: BinaryIO, offset: int, number_of_frames: int, extended_offsets: bytes = b""
) -> list[list[Fragment]]:
    """Return the fragments of each frame, in order; fewer frames than claimed when the bytes end early.

    `offset` is where the Basic Offset Table item starts; `extended_offsets` the raw Extended Offset Table.
    """
    stream.seek(offset)
    table = _read_item(stream)
    if table is None:
        return []
    basic = stream.read(min(table[1], _MAXIMUM_TABLE_BYTES))
    stream.seek(table[0] + table[1])
    items = _walk(stream)
    for offsets in (_unpack(extended_offsets, "Q"), _unpack(basic, "L")):
        if groups := _group_by_offsets(items, offsets):
            return groups
    return _group_by_number(stream, items, number_of_frames)


def read_fragments(stream: BinaryIO, fragments: Sequence[Fragment]) -> bytes:
    """Return one frame's code stream."""
    parts = []
    for offset, length in fragments:
        stream.seek(offset)
        parts.append(stream.read(length))
    return b"".join(parts)


def _read_item(stream: BinaryIO) -> Fragment | None:
    header = stream.read(8)
    if len(header) < 8:
        return None
    group, element, length = struct.unpack("<HHL", header)
    if group << 16 | element != _ITEM or length == 0xFFFFFFFF:
        return None
    return stream.tell(), length


def _walk(stream: BinaryIO) -> list[Fragment]:
    """List the items up to the delimiter; one that runs past the end of the stream is cut off, and is none."""
    start = stream.tell()
    end = stream.seek(0, io.SEEK_END)
    stream.seek(start)
    items: list[Fragment] = []
    while len(items) < _MAXIMUM_ITEMS and (item := _read_item(stream)):
        if sum(item) > end:
            break
        items.append(item)
        stream.seek(sum(item))
    return items


def _unpack(table: bytes, letter: str) -> list[int]:
    size = struct.calcsize("<" + letter)
    return [offset for (offset,) in struct.iter_unpack("<" + letter, table[: len(table) // size * size])]


def _group_by_offsets(items: list[Fragment], offsets: list[int]) -> list[list[Fragment]]:
    """Cut the items at the table's offsets (from the first item's tag); nothing when the table does not fit them."""
    if not items or not offsets or offsets[0] != 0:
        return []
    first = items[0][0] - 8
    index = {start - 8 - first: i for i, (start, _) in enumerate(items)}
    end = sum(items[-1]) - first
    starts = [offset for offset in offsets if offset < end]  # of a truncated stream, the frames that are there
    cuts = [index.get(offset, -1) for offset in starts]
    if -1 in cuts or cuts != sorted(set(cuts)):
        return []
    return [items[a:b] for a, b in zip(cuts, [*cuts[1:], len(items)], strict=True)]


def _group_by_number(stream: BinaryIO, items: list[Fragment], number_of_frames: int) -> list[list[Fragment]]:
    if number_of_frames == 1:
        return [items] if items else []
    if len(items) <= number_of_frames:
        return [[item] for item in items]
    return _group_by_end_marker(stream, items)


def _group_by_end_marker(stream: BinaryIO, items: list[Fragment]) -> list[list[Fragment]]:
    frames: list[list[Fragment]] = [[]]
    for offset, length in items:
        frames[-1].append((offset, length))
        stream.seek(offset + max(0, length - 10))
        if _END_OF_IMAGE in stream.read(min(length, 10)):
            frames.append([])
    return [frame for frame in frames if frame]
