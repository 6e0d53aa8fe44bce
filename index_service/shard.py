"""A shard: the process-local index over one folder. Log first, then apply; recover on opening; snapshot now and then.

Used directly in tests, by the shard's server process, and through `IndexClient` by the router. The rule: what was
acknowledged is in the log on disk, and what cannot be read back as it was written is never served.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from index_service.committer import Committer
from index_service.engines import ENGINES
from index_service.errors import Rejected
from index_service.folder import FolderLock, Manifest, log_path, snapshot_path, write_manifest
from index_service.locks import ReadWriteLock
from index_service.log import LogWriter
from index_service.operations import CreateSpace, Delete, Operation, Upsert
from index_service.port import Answer, Example, ExamplePart, Query, Record, ShardStats
from index_service.recovery import create_log, open_manifest, remove_superseded, replay
from index_service.sampling import sampled_parts
from index_service.search import search
from index_service.settings import IndexSettings
from index_service.snapshot import write_snapshot
from index_service.state import State, StateImage
from index_service.validation import check_query, example_parts, stored_form
from index_service.vector_space import VectorSpace

_logger = logging.getLogger(__name__)


def _nothing() -> None:
    return


class Shard:
    """Shard `number` of `settings.shard_count`, in its folder. Implements `VectorIndex`; safe for threads."""

    def __init__(self, settings: IndexSettings, number: int, on_failure: Callable[[], None] = _nothing) -> None:
        """Own the folder and recover; raise Unavailable (owned by another), Rejected (not this shard's) or Corrupt."""
        self._settings = settings
        self._number = number
        self._folder = settings.shard_dir(number)
        self._engine = ENGINES[settings.engine]()
        self._state = State(settings.sample_vectors, settings.compact_dead_fraction)
        self._state_lock = ReadWriteLock()
        self._creating = threading.Lock()
        self._snapshot: threading.Thread | None = None
        self._folder_lock = FolderLock(self._folder, settings.lock_timeout_s)
        try:
            self._manifest, log = self._recover()
        except BaseException:
            self._folder_lock.release()
            raise
        self._committer = Committer(
            log,
            self._state.sequence,
            apply=self._apply,
            after_sync=self._snapshot_when_due,
            on_failure=on_failure,
            wait_s=settings.sync_wait_s,
            batch_bytes=settings.sync_batch_bytes,
        )

    def _recover(self) -> tuple[Manifest, LogWriter]:
        settings = self._settings
        manifest = open_manifest(self._folder, self._number, settings.shard_count, settings.generation)
        self._state.sequence, path = replay(self._folder, manifest, self._state.apply)
        return manifest, LogWriter(path)

    # --- changes -------------------------------------------------------------------------------------------------

    def create_space(self, space: VectorSpace) -> None:
        """See `VectorIndex.create_space`."""
        with self._creating:  # two definitions of one name must not both reach the log
            with self._state_lock.read():
                new = self._state.is_new(space)
            if new:
                self._committer.submit(CreateSpace(space))

    def upsert(self, space: str, records: Sequence[Record]) -> None:
        """See `VectorIndex.upsert`; here the records of one call are stored atomically together."""
        if not records:
            return
        with self._state_lock.read():
            dimension = self._state.space(space).dimension
        stored = [stored_form(record, dimension) for record in records]
        with self._state_lock.read():
            table = self._state.table(space)
            changing = tuple(record for record in stored if table.changes(record))
        if changing:
            self._committer.submit(Upsert(space, changing))

    def delete(self, space: str, keys: Mapping[str, str] | None = None, groups: Sequence[str] = ()) -> int:
        """See `VectorIndex.delete`."""
        with self._state_lock.read():
            self._state.table(space)
        if not keys and not groups:
            return 0
        return self._committer.submit(Delete(space, dict(keys or {}), tuple(groups)))

    def _apply(self, operations: Sequence[Operation]) -> list[int]:
        with self._state_lock.write():
            return [self._state.apply(operation) for operation in operations]

    # --- questions -----------------------------------------------------------------------------------------------

    def spaces(self) -> list[VectorSpace]:
        """See `VectorIndex.spaces`."""
        with self._state_lock.read():
            return sorted(self._state.spaces.values(), key=lambda space: space.name)

    def search(self, query: Query) -> Answer:
        """See `VectorIndex.search`."""
        check_query(query)
        with self._state_lock.read():
            table = self._state.table(query.space)
            parts = self._parts(query, table.dimension)
            found = search(table, self._engine, query, parts, self._settings.candidates)
        return Answer(found.neighbors, found.groups_searched, shards_answered=1, shards_total=1)

    def _parts(self, query: Query, dimension: int) -> Sequence[ExamplePart]:
        if query.example is None:
            return example_parts(query, dimension)
        records = self._state.fetch(query.space, query.example)
        if not records:
            raise Rejected("the example has no vectors in this vector space")
        return sampled_parts(records, self._settings.sample_vectors)

    def fetch(self, space: str, example: Example) -> list[Record]:
        """See `VectorIndex.fetch`."""
        with self._state_lock.read():
            return self._state.fetch(space, example)

    def stats(self) -> list[ShardStats]:
        """See `VectorIndex.stats`."""
        with self._state_lock.read():
            tables = self._state.tables
            return [
                ShardStats(
                    shard=self._number,
                    available=True,
                    spaces={name: table.live_rows for name, table in tables.items()},
                    groups=sum(table.group_count for table in tables.values()),
                    records=sum(table.record_count for table in tables.values()),
                    vectors=sum(table.live_rows for table in tables.values()),
                    log_bytes=self._committer.log.size_bytes,
                    memory_bytes=sum(table.memory_bytes for table in tables.values()),
                    last_sequence=self._state.sequence,
                )
            ]

    def close(self) -> None:
        """Finish what was submitted and give the folder up."""
        self._committer.close()
        if self._snapshot is not None:
            self._snapshot.join()
        self._folder_lock.release()

    # --- snapshots -----------------------------------------------------------------------------------------------

    def _snapshot_when_due(self) -> None:
        """Begin a new log, write the state so far. In the committing thread: the state is exactly that of the log."""
        settings = self._settings
        due_bytes = max(settings.snapshot_log_bytes, settings.snapshot_log_ratio * self._manifest.snapshot_bytes)
        running = self._snapshot is not None and self._snapshot.is_alive()
        if running or self._committer.log.size_bytes < due_bytes or not self._rotate():
            return
        self._snapshot = threading.Thread(target=self._write_snapshot, args=(self._state.image(),), name="snapshot")
        self._snapshot.start()

    def _rotate(self) -> bool:
        first = self._state.sequence + 1
        try:
            self._committer.rotate(LogWriter(create_log(self._folder, first)))
        except OSError:
            _logger.exception("shard %d cannot begin a new log and goes on in the old one", self._number)
            # A log that begins where the old one still grows would read as a gap.
            log_path(self._folder, first).unlink(missing_ok=True)
            return False
        return True

    def _write_snapshot(self, image: StateImage) -> None:
        try:
            size_bytes = write_snapshot(snapshot_path(self._folder, image.sequence), image)
            manifest = replace(self._manifest, snapshot_sequence=image.sequence, snapshot_bytes=size_bytes)
            write_manifest(self._folder, manifest)
            self._manifest = manifest
            remove_superseded(self._folder, manifest)
        except OSError:
            _logger.exception("shard %d cannot write a snapshot and keeps its log instead", self._number)
