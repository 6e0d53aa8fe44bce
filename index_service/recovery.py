"""Opening a shard's folder: the snapshot the manifest names, then the logs after it, to the last whole entry.

Called by `shard` once, before anything is served. What is missing or damaged is Corrupt; only the end of the last log
may stop short, because what was being written when the power went was never acknowledged.
"""

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from index_service.errors import Corrupt, Rejected
from index_service.folder import (
    Manifest,
    log_path,
    logs,
    read_manifest,
    snapshot_path,
    snapshots,
    write_durably,
    write_manifest,
)
from index_service.log import FILE_HEADER_BYTES, LOG_MAGIC, TornTail, file_header, read_entries
from index_service.operations import Operation, decode
from index_service.snapshot import read_snapshot


def create_log(folder: Path, first_sequence: int) -> Path:
    """Create an empty log, durably, and return its path."""
    path = log_path(folder, first_sequence)
    write_durably(path, file_header(LOG_MAGIC))
    return path


def open_manifest(folder: Path, shard: int, shards: int, generation: int) -> Manifest:
    """Return the manifest, made when the folder is new; raise Rejected when the folder is another shard's."""
    manifest = read_manifest(folder)
    if manifest is None:
        return _new(folder, Manifest(shard, shards, generation))
    if (manifest.shard, manifest.shards, manifest.generation) != (shard, shards, generation):
        raise Rejected(
            f"folder {folder.name} holds shard {manifest.shard} of {manifest.shards}, generation "
            f"{manifest.generation}, not shard {shard} of {shards}, generation {generation}"
        )
    return manifest


def _new(folder: Path, manifest: Manifest) -> Manifest:
    if snapshots(folder) or any(path.stat().st_size > FILE_HEADER_BYTES for _, path in logs(folder)):
        raise Corrupt(f"folder {folder.name} holds data but no manifest")
    create_log(folder, first_sequence=1)
    write_manifest(folder, manifest)
    return manifest


def replay(folder: Path, manifest: Manifest, apply: Callable[[Operation], object]) -> tuple[int, Path]:
    """Apply the snapshot and the logs in order; return the last sequence number and the log to go on with.

    The state after the snapshot counts as `manifest.snapshot_sequence`, whatever number of operations made it.
    """
    if manifest.snapshot_sequence:
        path = snapshot_path(folder, manifest.snapshot_sequence)
        for operation in read_snapshot(path, manifest.snapshot_bytes):
            _apply(operation, apply, path)
    remove_superseded(folder, manifest)
    return _replay_logs(folder, manifest.snapshot_sequence, apply)


def _replay_logs(folder: Path, done: int, apply: Callable[[Operation], object]) -> tuple[int, Path]:
    found = logs(folder)
    if not found or found[0][0] > done + 1:
        raise Corrupt(f"folder {folder.name} has no log that begins with number {done + 1}")
    sequence = found[0][0] - 1
    for first, path in found:
        if first != sequence + 1:
            raise Corrupt(f"{path.name} begins after number {sequence}: operations are missing")
        try:
            for entry in read_entries(path, LOG_MAGIC, first):
                sequence = entry.sequence
                if sequence > done:
                    _apply(decode(entry.kind, entry.payload), apply, path)
        except TornTail as error:
            if path != found[-1][1]:
                raise Corrupt(f"{path.name} stops short, and another log follows it") from error
            _cut(path, error.end)
    if sequence < done:
        raise Corrupt(f"the logs end at number {sequence}, before the snapshot's {done}")
    return sequence, found[-1][1]


def _apply(operation: Operation, apply: Callable[[Operation], object], path: Path) -> None:
    try:
        apply(operation)
    except Rejected as error:
        raise Corrupt(f"{path.name} holds an operation that cannot be applied") from error


def _cut(path: Path, end: int) -> None:
    with path.open("r+b") as file:
        file.truncate(end)
        os.fsync(file.fileno())


def remove_superseded(folder: Path, manifest: Manifest) -> None:
    """Remove what the manifest's snapshot replaces: older and unfinished snapshots, logs that it holds entirely."""
    for sequence, path in snapshots(folder):
        if sequence != manifest.snapshot_sequence:
            path.unlink()
    for path in folder.glob("*.tmp"):
        path.unlink()
    found = logs(folder)
    for (_, path), (next_first, _) in pairwise(found):
        if next_first <= manifest.snapshot_sequence + 1:
            path.unlink()
