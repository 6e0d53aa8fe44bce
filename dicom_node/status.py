"""Use case: how the node stands, gathered for the status page, `GET /api/status` and `dicom-node status`.

The rule: an index that does not answer is part of the answer, not a failure of it; only the catalog must be there.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dicom_node.catalog.models import Queue
from dicom_node.catalog.repository import Catalog, Counts
from dicom_node.errors import Unavailable
from index_service.port import ShardStats, VectorIndex


@dataclass(frozen=True, slots=True)
class Status:
    """Counts of the catalog, outbox rows nobody works on by queue, and the shards; None when the index is away."""

    counts: Counts
    waiting: Mapping[Queue, int]
    shards: tuple[ShardStats, ...] | None

    @property
    def index_available(self) -> bool:
        """Whether the index answers, with every shard."""
        return self.shards is not None and all(shard.available for shard in self.shards)

    def as_json(self) -> dict[str, Any]:
        """Return the status as the JSON object of `GET /api/status`; times in seconds, sizes in bytes."""
        counts = self.counts
        return {
            "instances": {
                "stored": counts.stored,
                "pending": counts.pending,
                "embedded": counts.embedded,
                "rejected": counts.rejected,
                "failed": counts.failed,
                "other_versions": counts.other_versions,
            },
            "studies": counts.studies,
            "series": counts.series,
            "throughput": {
                "stored_last_minute": counts.stored_last_minute,
                "embedded_last_minute": counts.embedded_last_minute,
            },
            "oldest_pending_s": None if counts.oldest_pending_s is None else round(counts.oldest_pending_s, 3),
            "queues": {queue.value: self.waiting.get(queue, 0) for queue in Queue},
            "index": {
                "available": self.index_available,
                "shards": [asdict(shard) for shard in self.shards or ()],
            },
        }


def gather(catalog: Catalog, index: VectorIndex) -> Status:
    """Ask catalog and index how they stand. Raises Unavailable when the catalog does not answer."""
    return Status(catalog.counts(), catalog.waiting(), _shards(index))


def _shards(index: VectorIndex) -> tuple[ShardStats, ...] | None:
    try:
        return tuple(index.stats())
    except Unavailable:
        return None
