"""The log's form: whatever is written is read; cut anywhere, the whole entries remain; any bit changed is noticed."""

import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index_service.errors import Corrupt
from index_service.log import LOG_MAGIC, TornTail, entry_bytes, file_header, read_entries

payloads = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=60)), max_size=5)


def log_bytes(entries: list[tuple[int, bytes]]) -> bytes:
    return file_header(LOG_MAGIC) + b"".join(entry_bytes(7 + i, *entry) for i, entry in enumerate(entries))


def read(data: bytes) -> tuple[list[tuple[int, bytes]], int | None]:
    """Return the entries read and, if the file is torn, where the whole ones end."""
    found: list[tuple[int, bytes]] = []
    with TemporaryDirectory() as folder:
        path = Path(folder, "log")
        path.write_bytes(data)
        end = None
        try:
            for entry in read_entries(path, LOG_MAGIC, first_sequence=7):
                found += [(entry.kind, entry.payload)]
        except TornTail as torn:
            end = torn.end
    return found, end


@given(entries=payloads)
def test_what_was_written_is_read(entries: list[tuple[int, bytes]]) -> None:
    assert read(log_bytes(entries)) == (entries, None)


@given(entries=payloads, data=st.data(), zeros=st.integers(0, 600))
def test_cut_anywhere_the_whole_entries_remain(
    entries: list[tuple[int, bytes]], data: st.DataObject, zeros: int
) -> None:
    whole = log_bytes(entries)
    cut = data.draw(st.integers(len(log_bytes([])), len(whole)))
    ends = [len(log_bytes(entries[:i])) for i in range(len(entries) + 1)]
    kept = max(i for i, end in enumerate(ends) if end <= cut)
    expected_end = None if ends[kept] == cut + zeros else ends[kept]
    assert read(whole[:cut] + bytes(zeros)) == (entries[:kept], expected_end)


def test_every_changed_bit_is_noticed() -> None:
    whole = log_bytes([(1, b"first"), (2, b""), (3, bytes(9))])
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Corrupt):
            read(bytes(damaged))


def test_an_entry_taken_out_is_noticed() -> None:
    data = file_header(LOG_MAGIC) + entry_bytes(7, 1, b"first") + entry_bytes(9, 1, b"third")
    with pytest.raises(Corrupt, match="number 9, expected 8"):
        read(data)


def test_a_newer_version_is_refused_by_name() -> None:
    head = LOG_MAGIC + (2).to_bytes(4, "little")
    with pytest.raises(Corrupt, match="format version 2"):
        read(head + zlib.crc32(head).to_bytes(4, "little"))
