"""Frames in encapsulated Pixel Data: with tables, right and wrong, without, and cut off. Items byte by byte."""

import io
import struct

import pytest

from workers.pixels.fragments import frame_fragments, read_fragments

END = bytes.fromhex("feffdde000000000")


def element(value: bytes) -> bytes:
    return bytes.fromhex("feff00e0") + struct.pack("<L", len(value)) + value


def table(*offsets: int) -> bytes:
    return element(struct.pack(f"<{len(offsets)}L", *offsets))


def frames(data: bytes, number_of_frames: int, extended: tuple[int, ...] = ()) -> list[bytes]:
    stream = io.BytesIO(data)
    raw = struct.pack(f"<{len(extended)}Q", *extended)
    return [read_fragments(stream, frame) for frame in frame_fragments(stream, 0, number_of_frames, raw)]


def test_offset_table_groups_fragments() -> None:
    data = table(0, 20) + element(b"aa") + element(b"bb") + element(b"cccc") + END
    assert frames(data, 2) == [b"aabb", b"cccc"]


def test_extended_offset_table_goes_before_an_empty_basic_one() -> None:
    data = table() + element(b"aa") + element(b"bb") + element(b"cccc") + END
    assert frames(data, 2, (0, 20)) == [b"aabb", b"cccc"]


@pytest.mark.parametrize("offsets", [(0, 7), (4, 20), (0, 20, 10), (0, 0)])
def test_table_that_does_not_fit_the_items_is_not_used(offsets: tuple[int, ...]) -> None:
    data = table(*offsets) + element(b"aa") + element(b"bb") + element(b"cccc") + END
    assert frames(data, 3) == [b"aa", b"bb", b"cccc"]


def test_one_frame_takes_all_fragments() -> None:
    assert frames(table() + element(b"aa") + element(b"bb") + END, 1) == [b"aabb"]


def test_as_many_fragments_as_frames_are_one_each() -> None:
    assert frames(table() + element(b"aa") + element(b"bb") + END, 2) == [b"aa", b"bb"]


def test_more_fragments_than_frames_are_cut_at_end_markers() -> None:
    data = table() + element(b"aa") + element(b"b\xff\xd9\0") + element(b"cc\xff\xd9") + END
    assert frames(data, 2) == [b"aab\xff\xd9\0", b"cc\xff\xd9"]


def test_missing_delimiter_is_tolerated() -> None:
    assert frames(table() + element(b"aa"), 1) == [b"aa"]


def test_cut_off_frame_is_left_out() -> None:
    data = table(0, 10) + element(b"aa") + element(b"bbbb")
    assert frames(data[:-1], 2) == [b"aa"]
    assert frames(data[:-1], 3) == [b"aa"]


@pytest.mark.parametrize("data", [b"", b"\xfe\xff", END, b"\0" * 64, bytes.fromhex("feff00e0ffffffff")])
def test_no_items_are_no_frames(data: bytes) -> None:
    assert frames(data, 1) == []


def test_length_beyond_the_end_reads_nothing() -> None:
    assert frames(table() + bytes.fromhex("feff00e0f0ffffff") + b"aa", 1) == []
