"""Every option of the index service with its default. Read once, where the processes are built; nothing else reads it.

The node embeds this model in its own settings and hands it to `python -m index_service` as JSON.
"""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

# A unix socket address holds 108 bytes with its closing zero (unix(7)); the rest is room for temporary names.
LONGEST_SOCKET_PATH_BYTES = 100


class IndexSettings(BaseModel):
    """Where the index lives, how it is split, how durable and how patient it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # --- where ---------------------------------------------------------------------------------------------------
    # Folder of the index: one folder a shard, the lock, and the sockets in `run`.
    data_dir: Path = Path("data/index")
    # Address the router listens on: "host:port" or "unix:/path"; empty: a unix socket in the run folder, for this user
    # alone. Whoever reaches the address can read and change everything: a port belongs on a network of the node's own.
    listen: str = ""
    # Shards to spawn on this machine; fixed for a data folder, since groups are spread by it.
    shards: int = Field(default=2, ge=1, le=256)
    # Addresses of shards that run elsewhere, by number; empty: spawn `shards` child processes here.
    shard_addresses: tuple[str, ...] = ()
    # Number of the arrangement of shards; a shard folder of another generation is refused.
    generation: PositiveInt = 1
    # What scans the vectors: "flat" (FAISS) or "exact" (plain numpy, slow, for comparison).
    engine: Literal["flat", "exact"] = "flat"

    # --- durability ----------------------------------------------------------------------------------------------
    # How long a write waits for others to share its sync; 0: only those that came during the sync before it.
    sync_wait_s: float = Field(default=0.0, ge=0, le=1)
    # Most bytes that share one sync.
    sync_batch_bytes: PositiveInt = 8 * 2**20
    # A snapshot is written when the log holds this many bytes ...
    snapshot_log_bytes: PositiveInt = 64 * 2**20
    # ... and at least this part of the last snapshot's size (so that a large shard is not rewritten all the time).
    snapshot_log_ratio: float = Field(default=0.5, ge=0)
    # Deleted rows leave memory when they are this part of all rows.
    compact_dead_fraction: float = Field(default=0.25, gt=0, le=1)

    # --- search --------------------------------------------------------------------------------------------------
    # Groups (parts, records) found by the engine and then compared vector by vector; at least twice k.
    candidates: PositiveInt = 100
    # Vectors of a part that take part in that comparison, evenly taken over the part.
    sample_vectors: int = Field(default=32, ge=4)

    # --- deadlines and limits ------------------------------------------------------------------------------------
    # A shard that has not answered a search or a fetch by then counts as missing.
    search_timeout_s: PositiveFloat = 5.0
    # A write that is not acknowledged by then is reported as Unavailable (it may still happen).
    write_timeout_s: PositiveFloat = 30.0
    # Starting: how long the router waits for its shards to recover before it serves without them.
    start_timeout_s: PositiveFloat = 10.0
    # How long a starting process waits for the folder's previous owner to end.
    lock_timeout_s: PositiveFloat = 5.0
    # Largest message in either direction; an upsert is split to stay below it, one record is not.
    message_bytes: int = Field(default=64 * 2**20, ge=2**20, le=2**30)
    # Requests served at the same time by one process.
    threads: PositiveInt = 16
    # Pause before a dead shard process is started again; doubled each time up to the maximum.
    restart_delay_s: PositiveFloat = 0.2
    restart_delay_max_s: PositiveFloat = 10.0

    # --- metrics -------------------------------------------------------------------------------------------------
    # Port of /metrics of the router process; 0 or none: no metrics.
    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    # Address that port is bound to.
    metrics_host: str = "127.0.0.1"

    @property
    def shard_count(self) -> int:
        """Number of shards that groups are spread over."""
        return len(self.shard_addresses) or self.shards

    @property
    def address(self) -> str:
        """Address a client connects to."""
        return self.listen or self._socket("index.sock")

    def shard_address(self, shard: int) -> str:
        """Address of shard `shard`, here or elsewhere."""
        return self.shard_addresses[shard] if self.shard_addresses else self._socket(f"shard-{shard}.sock")

    def shard_dir(self, shard: int) -> Path:
        """Folder that shard `shard` owns."""
        return self.data_dir / f"shard-{shard:03d}"

    @property
    def run_dir(self) -> Path:
        """Folder of the sockets: `run` in the data folder, or where its path is too long a short one of this user."""
        folder = self.data_dir.absolute() / "run"
        if len(os.fsencode(folder / "shard-000.sock")) <= LONGEST_SOCKET_PATH_BYTES:
            return folder
        name = hashlib.blake2b(os.fsencode(folder), digest_size=8).hexdigest()
        return Path(tempfile.gettempdir()) / f"dicom-node-{os.getuid()}-{name}"

    def _socket(self, name: str) -> str:
        return f"unix:{self.run_dir / name}"
