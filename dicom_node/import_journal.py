"""What has been imported already, so that a second run need not read it again. Called by `importer`.

One SQLite file in the data folder maps a digest of (path, size, time of modification) to the SOP Instance UID that was
kept; no path stands in it. The rule: it only saves time. The catalog decides whether an instance is known, and the file
may be deleted at any moment: what is imported again is recognised by its bytes.
"""

import hashlib
import sqlite3
from pathlib import Path
from typing import Self

from dicom_node.errors import Unavailable
from dicom_node.import_sources import Candidate

COMMIT_EVERY = 200
BUSY_TIMEOUT_S = 30.0
SCHEMA = "CREATE TABLE IF NOT EXISTS imported (file BLOB PRIMARY KEY, sop_instance_uid TEXT NOT NULL) WITHOUT ROWID"


class Journal:
    """The journal of one data folder; for one thread."""

    def __init__(self, path: Path) -> None:
        """Open or create the journal; one that is damaged is begun anew. Raises Unavailable."""
        try:
            self._connection = _open(path)
        except sqlite3.OperationalError as error:
            raise Unavailable(f"the import journal cannot be opened: {error}") from error
        except sqlite3.DatabaseError:
            path.unlink()
            self._connection = _open(path)
        self._uncommitted = 0

    def lookup(self, candidate: Candidate) -> str | None:
        """Return the SOP Instance UID under which this file, unchanged since, was kept."""
        found = self._connection.execute(
            "SELECT sop_instance_uid FROM imported WHERE file = ?", (_digest(candidate),)
        ).fetchone()
        return None if found is None else str(found[0])

    def add(self, candidate: Candidate, sop_instance_uid: str) -> None:
        """Note that a file is durably kept."""
        self._connection.execute(
            "INSERT OR REPLACE INTO imported VALUES (?, ?)", (_digest(candidate), sop_instance_uid)
        )
        self._uncommitted += 1
        if self._uncommitted >= COMMIT_EVERY:
            self._commit()

    def close(self) -> None:
        """Write what is noted, and close."""
        self._commit()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _commit(self) -> None:
        self._connection.commit()
        self._uncommitted = 0


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)
    try:
        connection.execute(SCHEMA)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _digest(candidate: Candidate) -> bytes:
    identity = f"{candidate.name}\0{candidate.size_bytes}\0{candidate.modified_ns}"
    return hashlib.blake2b(identity.encode(errors="surrogateescape"), digest_size=16).digest()
