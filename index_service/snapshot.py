"""Snapshots: the state of a shard as the operations that make it, in one file of the log's form.

The last entry says how many entries and records there must be. A snapshot counts only once the manifest names it.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from index_service import messages_pb2 as messages
from index_service.errors import Corrupt
from index_service.folder import put_in_place
from index_service.log import SNAPSHOT_MAGIC, TornTail, entry_bytes, file_header, read_entries
from index_service.operations import Operation, Upsert, decode, encode
from index_service.state import StateImage

# The operation byte of the last entry; see operations.py for the others.
_END = 255


def write_snapshot(path: Path, image: StateImage) -> int:
    """Write `image` to `path`, durably; return its size in bytes."""
    temporary = path.with_suffix(".tmp")
    entries = records = 0
    with temporary.open("wb") as file:
        file.write(file_header(SNAPSHOT_MAGIC))
        for entries, operation in enumerate(image.operations(), 1):
            file.write(entry_bytes(entries, *encode(operation)))
            records += len(operation.records) if isinstance(operation, Upsert) else 0
        end = messages.SnapshotEnd(entries=entries, records=records)
        file.write(entry_bytes(entries + 1, _END, end.SerializeToString()))
        file.flush()
        os.fsync(file.fileno())
        size_bytes = file.tell()
    put_in_place(temporary, path)
    return size_bytes


def read_snapshot(path: Path, size_bytes: int) -> Iterator[Operation]:
    """Yield the operations of a snapshot; raise Corrupt, at the end at the latest, when it is not what was written."""
    if not path.exists() or path.stat().st_size != size_bytes:
        raise Corrupt(f"{path.name} is missing or does not have {size_bytes} bytes")
    seen = messages.SnapshotEnd()
    try:
        for entry in read_entries(path, SNAPSHOT_MAGIC, first_sequence=1):
            if entry.kind == _END:
                _check_end(entry.payload, seen, path.name)
                return
            operation = decode(entry.kind, entry.payload)
            seen.entries += 1
            seen.records += len(operation.records) if isinstance(operation, Upsert) else 0
            yield operation
    except TornTail as error:
        raise Corrupt(f"{path.name} stops short") from error
    raise Corrupt(f"{path.name} has no end")


def _check_end(payload: bytes, seen: messages.SnapshotEnd, name: str) -> None:
    if messages.SnapshotEnd.FromString(payload) != seen:
        raise Corrupt(f"{name} does not hold as much as was written")
