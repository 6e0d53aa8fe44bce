"""A process to be killed: it stores records in a shard and prints each key once it is acknowledged.

Several threads write, snapshots follow each other closely, and records are replaced and deleted in between, so that a
kill falls into any of these.
"""

import itertools
import sys
import threading
from pathlib import Path

from index_service.settings import IndexSettings
from index_service.shard import Shard
from index_service.vector_space import VectorSpace
from tests.contracts.index_data import record

SPACE = VectorSpace("space", 4, "model", "preprocessing", "1")


def writer_settings(folder: Path) -> IndexSettings:
    """Return settings that make a snapshot every few dozen writes."""
    return IndexSettings(data_dir=folder, shards=1, snapshot_log_bytes=20_000, snapshot_log_ratio=0)


def _write(shard: Shard, thread: int, run: str) -> None:
    for i in itertools.count():
        key = f"g{thread}/{run}/{i}"
        shard.upsert(SPACE.name, [record(key, (1, i, thread, 0))])
        # One write of a short line is not torn by other threads.
        sys.stdout.write(f"{key}\n")
        sys.stdout.flush()
        passing = f"passing{thread}/{run}/{i}"
        shard.upsert(SPACE.name, [record(passing, (0, 0, 1, 0))])
        shard.delete(SPACE.name, {passing: f"passing{thread}"})


def main() -> None:
    """Write until killed."""
    shard = Shard(writer_settings(Path(sys.argv[1])), 0)
    shard.create_space(SPACE)
    for thread in range(3):
        threading.Thread(target=_write, args=(shard, thread, sys.argv[2])).start()


if __name__ == "__main__":
    main()
