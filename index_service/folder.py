"""A shard's folder: who owns it, which files belong to it, and how a file gets into it whole or not at all.

* LOCK: held by the process that owns the folder
* manifest.json: which shard this is and which snapshot is the current one, with a checksum
* snapshot-<sequence>.bin: everything up to and with that sequence number
* log-<sequence>.bin: operations from that sequence number on; the last one is written to
"""

import fcntl
import json
import os
import time
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

from index_service.errors import Corrupt, Unavailable

_LOCK_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Manifest:
    """Which shard of how many lives here, and its current snapshot; `snapshot_sequence` 0 means none yet."""

    shard: int
    shards: int
    generation: int
    snapshot_sequence: int = 0
    snapshot_bytes: int = 0


class FolderLock:
    """Exclusive ownership of a folder, ended by `release` or by the end of the process."""

    def __init__(self, folder: Path, timeout_s: float) -> None:
        """Create the folder when needed and own it; raise Unavailable when another process keeps it too long."""
        create_folder(folder)
        self._fd = os.open(folder / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + timeout_s
        while not self._taken():
            if time.monotonic() > deadline:
                os.close(self._fd)
                raise Unavailable(f"folder {folder.name} is in use by another process")
            time.sleep(_LOCK_POLL_S)

    def _taken(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Give the folder up."""
        os.close(self._fd)


def log_path(folder: Path, first_sequence: int) -> Path:
    """Return the path of the log whose first entry has that number."""
    return folder / f"log-{first_sequence:020d}.bin"


def snapshot_path(folder: Path, sequence: int) -> Path:
    """Return the path of the snapshot that ends with that number."""
    return folder / f"snapshot-{sequence:020d}.bin"


def logs(folder: Path) -> list[tuple[int, Path]]:
    """List the logs with the number of their first entry, in order."""
    return sorted((_number_of(path), path) for path in folder.glob("log-*.bin"))


def snapshots(folder: Path) -> list[tuple[int, Path]]:
    """List the snapshots with the number they end with, in order."""
    return sorted((_number_of(path), path) for path in folder.glob("snapshot-*.bin"))


def _number_of(path: Path) -> int:
    digits = path.stem.partition("-")[2]
    if not (digits.isascii() and digits.isdigit()):
        raise Corrupt(f"{path.name} is not the name of a file of a shard")
    return int(digits)


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest, None when there is none; raise Corrupt when it is not what was written."""
    try:
        text = (folder / "manifest.json").read_bytes()
    except FileNotFoundError:
        return None
    try:
        stored = json.loads(text)
        checksum = stored.pop("crc32")
        manifest = Manifest(**stored)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Corrupt("manifest.json cannot be read") from error
    if checksum != _checksum(manifest):
        raise Corrupt("manifest.json is not what was written")
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest, durably."""
    stored = asdict(manifest) | {"crc32": _checksum(manifest)}
    write_durably(folder / "manifest.json", json.dumps(stored, indent=1).encode())


def _checksum(manifest: Manifest) -> int:
    return zlib.crc32(json.dumps(asdict(manifest), sort_keys=True).encode())


def write_durably(path: Path, data: bytes) -> None:
    """Put a file in place: after a crash it is there whole, or what was there before."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    put_in_place(temporary, path)


def put_in_place(temporary: Path, path: Path) -> None:
    """Rename a synced file to its name and make the name durable."""
    temporary.rename(path)
    sync_folder(path.parent)


def create_folder(folder: Path) -> None:
    """Create a folder with its parents, readable by this user only, its names durable."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in missing:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
