"""The archive: the bytes of received instances as Part 10 files, under keys of our own.

Layout below the archive folder: `incoming/<process>/<hex>` while an instance is being received, then
`<YYYYMMDD>/<HHMM>/<process><hex>.dcm` (UTC time of receipt). A process holds a lock on its folder of `incoming`, so
that what a dead one left can be told from what is being received: unfinished files, and those it had just kept when it
died before the catalog knew of them. Folders are 0700, files 0600. The rule: nothing is read from or
written to a path made of received text, and a key is given out only for a file whose bytes are synced; its name is
durable once `sync_folders` has returned for it.
"""

import fcntl
import hashlib
import os
import re
import shutil
import struct
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from dicom_node.errors import Corrupt, Unavailable

KEY = re.compile(r"\d{8}/\d{4}/[0-9a-f]{32}\.dcm")
PREFIX = bytes(128) + b"DICM"
CHUNK = 1 << 20
TOKEN_CHARACTERS = 16
# Longer than a commit may take: so old is, at most, a file that its process kept and did not live to record.
UNRECORDED_S = 120
# (0002,0000) UL, 4 bytes: tag, VR, length, value.
GROUP_LENGTH = struct.Struct("<HH2sHL")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A synced file: its key, the size of the whole file, and the hex SHA-256 of the data set in it."""

    key: str
    size_bytes: int
    sha256: str


class Spool:
    """One file being received. `write` the data set in pieces, then `keep` or `discard`; a context manager discards."""

    def __init__(self, archive: "Archive", path: Path, meta: bytes) -> None:
        """Make the file and write the preamble (zeros), the prefix and the encoded file meta information."""
        self._archive = archive
        self._path = path
        self._digest = hashlib.sha256()
        self._file = open(self._path, "xb", buffering=0, opener=_private)  # noqa: SIM115 - closed by keep or discard
        self.data_set_offset = len(PREFIX) + len(meta)
        self._write(PREFIX + meta)

    @property
    def path(self) -> Path:
        """Where the bytes lie until kept."""
        return self._path

    def write(self, piece: bytes | memoryview) -> None:
        """Append a piece of the encoded data set. Raises Unavailable when the disk does not take it."""
        self._digest.update(piece)
        self._write(piece)

    def keep(self) -> StoredFile:
        """Sync the file and give it its key. Raises Unavailable; then nothing is left behind."""
        try:
            os.fsync(self._file.fileno())
            size_bytes = self._file.tell()
            key = self._archive.adopt(self._path)
        except OSError as error:
            self.discard()
            raise Unavailable(f"the archive could not keep a file: {error.strerror}") from error
        self._file.close()
        return StoredFile(key, size_bytes, self._digest.hexdigest())

    def discard(self) -> None:
        """Close and remove what was written."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._file.closed:
            self.discard()

    def _write(self, piece: bytes | memoryview) -> None:
        view = memoryview(piece)
        try:
            while view:
                view = view[self._file.write(view) or 0 :]
        except OSError as error:
            raise Unavailable(f"the archive could not write: {error.strerror}") from error


class Archive:
    """The folder of kept files. Safe for many threads and processes at once."""

    def __init__(self, root: Path, reserve_bytes: int = 0) -> None:
        """Open or create the archive; `reserve_bytes` is the free space below which nothing new is taken."""
        self.root = root
        self._incoming = root / "incoming"
        self._own_incoming: Path | None = None
        self._reserve_bytes = reserve_bytes
        self._made: set[Path] = set()
        self._lock = threading.Lock()
        _make_folder(root)
        _make_folder(self._incoming)

    def spool(self, meta: bytes) -> Spool:
        """Start receiving a data set. Raises Unavailable when the disk is (nearly) full or refuses."""
        try:
            if shutil.disk_usage(self.root).free < self._reserve_bytes:
                raise Unavailable("the archive's disk is nearly full")
            return Spool(self, self._own_folder() / uuid.uuid4().hex, meta)
        except OSError as error:
            raise Unavailable(f"the archive could not open a file: {error.strerror}") from error

    def adopt(self, spooled: Path) -> str:
        """Rename a synced spool file to a new key, and return the key. The name is not durable yet."""
        folder = _minute(time.time())
        self._ensure_folder(self.root / folder)
        token = spooled.parent.name
        key = f"{folder}/{token}{uuid.uuid4().hex[len(token) :]}.dcm"
        spooled.rename(self.root / key)
        return key

    def sync_folders(self, keys: Iterable[str]) -> None:
        """Make the names of these kept files durable, one sync per folder. Raises Unavailable."""
        try:
            for folder in {self.path(key).parent for key in keys}:
                _sync_folder(folder)
        except OSError as error:
            raise Unavailable(f"the archive could not sync a folder: {error.strerror}") from error

    def path(self, key: str) -> Path:
        """Return the file of a key. Raises Corrupt for what is no key of ours."""
        if not KEY.fullmatch(key):
            raise Corrupt("not a key of the archive")
        return self.root / key

    def verified_offset(self, key: str, sha256: str) -> int:
        """Read a kept file through; return where its data set starts. Raises Corrupt unless its digest is `sha256`."""
        try:
            offset = _data_set_offset(self.path(key))
            digest = sha256_of_data_set(self.path(key), offset)
        except FileNotFoundError as error:
            raise Corrupt("a kept file is gone") from error
        except OSError as error:
            raise Unavailable(f"the archive could not read a file: {error.strerror}") from error
        if digest != sha256:
            raise Corrupt("a kept file does not hold what was received")
        return offset

    def delete(self, key: str) -> None:
        """Remove a kept file; one that is gone already is no error."""
        self.path(key).unlink(missing_ok=True)

    def discard_unrecorded(self, known: Callable[[Sequence[str]], Collection[str]]) -> int:
        """Remove what processes that are gone had received and not recorded when they ended; return how many files.

        `known` tells which of some keys the catalog knows. Call it before receiving.
        """
        removed = 0
        for folder in self._incoming.iterdir():
            if folder != self._own_incoming and (lock := _try_lock(folder)) is not None:
                removed += self._discard_kept(folder, known) + len(list(folder.iterdir()))
                shutil.rmtree(folder)
                os.close(lock)
        return removed

    def _discard_kept(self, incoming: Path, known: Callable[[Sequence[str]], Collection[str]]) -> int:
        """Remove files that the process of this folder kept in its last minutes and the catalog does not know."""
        ended_at = incoming.stat().st_mtime  # each file it kept went out of the folder
        minutes = {_minute(ended_at - ago_s) for ago_s in range(-60, UNRECORDED_S + 60, 60)}
        paths = [path for minute in minutes for path in (self.root / minute).glob(f"{incoming.name}*.dcm")]
        keys = [path.relative_to(self.root).as_posix() for path in paths]
        unknown = set(keys) - set(known(keys))
        for key in unknown:
            self.delete(key)
        return len(unknown)

    def _own_folder(self) -> Path:
        with self._lock:
            while self._own_incoming is None:
                folder = self._incoming / uuid.uuid4().hex[:TOKEN_CHARACTERS]
                folder.mkdir(mode=0o700)
                # The lock is never given back: it ends with the process. A process that starts may have swept the
                # folder away before it was locked; then another one is made.
                if _try_lock(folder) is not None and folder.is_dir():
                    self._own_incoming = folder
            return self._own_incoming

    def _ensure_folder(self, folder: Path) -> None:
        with self._lock:
            if folder in self._made:
                return
            _make_folder(folder.parent)
            _make_folder(folder)
            self._made.add(folder)


def _minute(at: float) -> str:
    """Return the folder of what is received at a time (seconds since the epoch)."""
    return time.strftime("%Y%m%d/%H%M", time.gmtime(at))


def sha256_of_data_set(path: Path, offset: int) -> str:
    """Return the hex SHA-256 of a file's bytes from `offset` (the end of the file meta information) on."""
    with path.open("rb") as file:
        file.seek(offset)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _data_set_offset(path: Path) -> int:
    """Return where the data set of a file of ours starts: its meta information begins with its length (PS3.10 7.1)."""
    with path.open("rb") as file:
        head = file.read(len(PREFIX) + GROUP_LENGTH.size)
    if len(head) < len(PREFIX) + GROUP_LENGTH.size:
        raise Corrupt("a kept file is cut off")
    return len(head) + int(GROUP_LENGTH.unpack_from(head, len(PREFIX))[-1])


def _try_lock(folder: Path) -> int | None:
    """Lock a folder for as long as the returned descriptor is open; None when another process holds it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _make_folder(folder: Path) -> None:
    """Create a folder, durably. One that another process has just made is synced too: it may not have come to that."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
