"""The write-ahead log: entries appended to a file, each with its length, sequence number and checksum.

A snapshot has the same form with another magic. Numbers are little-endian; `crc` is CRC-32 as in zlib.

    file    | 0 magic (8) | 8 version u32 | 12 crc of bytes 0..11 u32 | entries ...
    entry   | 0 mark b"ENT1" | 4 payload length u32 | 8 sequence number u64 | 16 kind u8 | 17 zero (3)
            | 20 crc of bytes 0..19 u32 | 24 payload | crc of bytes 24.. of the payload u32 | mark b"1TNE"

Sequence numbers rise by one. A tail that stops short, or whose missing end reads as zeros, was never acknowledged and
is cut off; any other difference from what was written is Corrupt.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from index_service.errors import Corrupt

LOG_MAGIC = b"DNIXLOG\n"
SNAPSHOT_MAGIC = b"DNIXSNP\n"
VERSION = 1

_FILE_HEADER = struct.Struct("<8sII")
_ENTRY_HEADER = struct.Struct("<4sIQB3xI")
_ENTRY_TAIL = struct.Struct("<I4s")
_MARK, _END_MARK = b"ENT1", b"1TNE"
LONGEST_PAYLOAD_BYTES = 2**31 - 1
_BLOCK_BYTES = 2**20

FILE_HEADER_BYTES = _FILE_HEADER.size
ENTRY_OVERHEAD_BYTES = _ENTRY_HEADER.size + _ENTRY_TAIL.size


@dataclass(frozen=True, slots=True)
class Entry:
    """One operation as stored; `end` is the offset of the byte after it."""

    sequence: int
    kind: int
    payload: bytes
    end: int


class TornTail(Exception):
    """The file ends within an entry that was never acknowledged; `end` is where the whole entries end."""

    def __init__(self, end: int) -> None:
        super().__init__(f"the file ends within an entry that starts at {end}")
        self.end = end


def file_header(magic: bytes) -> bytes:
    """Return the first bytes of a file."""
    head = _FILE_HEADER.pack(magic, VERSION, 0)[:-4]
    return head + zlib.crc32(head).to_bytes(4, "little")


def entry_bytes(sequence: int, kind: int, payload: bytes) -> bytes:
    """Return one entry; the payload has at most LONGEST_PAYLOAD_BYTES."""
    head = _ENTRY_HEADER.pack(_MARK, len(payload), sequence, kind, 0)[:-4]
    return b"".join(
        (head, zlib.crc32(head).to_bytes(4, "little"), payload, _ENTRY_TAIL.pack(zlib.crc32(payload), _END_MARK))
    )


def read_entries(path: Path, magic: bytes, first_sequence: int) -> Iterator[Entry]:
    """Yield the entries of a file, numbered from `first_sequence`; raise TornTail or Corrupt after the good ones."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        written = _size_without_zeros(file, size)
        file.seek(0)
        _check_file_header(file.read(FILE_HEADER_BYTES), magic, path.name)
        sequence, end = first_sequence, FILE_HEADER_BYTES
        while end < written:
            entry = _read_entry(file, end, written, path.name)
            if entry.sequence != sequence:
                raise Corrupt(f"entry at {end} of {path.name} is number {entry.sequence}, expected {sequence}")
            yield entry
            sequence, end = sequence + 1, entry.end
        if end < size:
            raise TornTail(end)


def _size_without_zeros(file: BinaryIO, size: int) -> int:
    """Return where the zeros at the end of a file begin. No entry ends in a zero."""
    while size:
        start = max(0, size - _BLOCK_BYTES)
        file.seek(start)
        kept = len(file.read(size - start).rstrip(b"\0"))
        if kept:
            return start + kept
        size = start
    return 0


def _check_file_header(head: bytes, magic: bytes, name: str) -> None:
    if head == file_header(magic):
        return
    if head[:8] == magic and head[12:] == zlib.crc32(head[:12]).to_bytes(4, "little"):
        raise Corrupt(f"{name} has format version {int.from_bytes(head[8:12], 'little')}, expected {VERSION}")
    raise Corrupt(f"{name} does not start as it was written")


def _read_entry(file: BinaryIO, start: int, written: int, name: str) -> Entry:
    head = file.read(min(_ENTRY_HEADER.size, written - start))
    if head[: len(_MARK)] != _MARK[: len(head)]:
        raise Corrupt(f"entry at {start} of {name} is not what was written")
    if len(head) < _ENTRY_HEADER.size:
        raise TornTail(start)
    _, length, sequence, kind, header_crc = _ENTRY_HEADER.unpack(head)
    if header_crc != zlib.crc32(head[:-4]):
        raise Corrupt(f"entry at {start} of {name} has a damaged header")
    end = start + len(head) + length + _ENTRY_TAIL.size
    if end > written:
        raise TornTail(start)
    payload = file.read(length)
    if file.read(_ENTRY_TAIL.size) != _ENTRY_TAIL.pack(zlib.crc32(payload), _END_MARK):
        raise Corrupt(f"entry at {start} of {name} is not what was written")
    return Entry(sequence, kind, payload, end)


class LogWriter:
    """The file that entries are appended to. One thread uses it.

    `append` leaves the bytes to the operating system, `sync` makes all appended ones durable. After a failed write the
    file is cut back to its last whole entry; after a failed sync nobody knows what is on the disk (the kernel may drop
    the pages), so the log must be read again before anything is appended.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.broken = False
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self.size_bytes = os.fstat(self._fd).st_size

    def append(self, data: bytes) -> None:
        """Append whole entries; on OSError nothing of them stays, or the log is broken."""
        try:
            _write_all(self._fd, data)
        except OSError:
            self._cut_back()
            raise
        self.size_bytes += len(data)

    def sync(self) -> None:
        """Return when everything appended is on the disk; on OSError the log is broken."""
        try:
            os.fdatasync(self._fd)
        except OSError:
            self.broken = True
            raise

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _cut_back(self) -> None:
        try:
            os.ftruncate(self._fd, self.size_bytes)
        except OSError:
            self.broken = True
            raise


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
