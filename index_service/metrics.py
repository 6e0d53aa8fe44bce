"""The index service's metrics for Prometheus. Labels come from closed sets: the operation, its outcome, the shard."""

from collections.abc import Callable, Iterable, Sequence

from prometheus_client import REGISTRY, Counter, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from index_service.port import ShardStats

# From half a millisecond, a search over the wire on an idle machine, to the default deadline and beyond.
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

SEARCH_SECONDS = Histogram("dicom_node_index_search_seconds", "Time to answer a search", buckets=_SECONDS)
OPERATION_SECONDS = Histogram(
    "dicom_node_index_operation_seconds", "Time to answer any request", ["operation"], buckets=_SECONDS
)
REQUESTS = Counter("dicom_node_index_requests", "Requests answered", ["operation", "outcome"])
PARTIAL_ANSWERS = Counter("dicom_node_index_partial_answers", "Searches answered without some shard")
UPSERTED_RECORDS = Counter("dicom_node_index_upserted_records", "Records acknowledged, repeated ones included")
DELETED_RECORDS = Counter("dicom_node_index_deleted_records", "Records deleted")
SHARD_RESTARTS = Counter("dicom_node_index_shard_restarts", "Shard processes started again after their end", ["shard"])

_GAUGES: tuple[tuple[str, str, Callable[[ShardStats], float]], ...] = (
    ("vectors", "Vectors stored", lambda stats: stats.vectors),
    ("records", "Records stored", lambda stats: stats.records),
    ("groups", "Groups stored, counted in each vector space", lambda stats: stats.groups),
    ("log_bytes", "Size of the log since the last snapshot", lambda stats: stats.log_bytes),
    ("memory_bytes", "Memory held by vectors and columns", lambda stats: stats.memory_bytes),
    ("shard_up", "Whether the shard answers", lambda stats: float(stats.available)),
)


class ShardCollector(Collector):
    """Reads the state of every shard when Prometheus asks."""

    def __init__(self, stats: Callable[[], Sequence[ShardStats]]) -> None:
        self._stats = stats

    def register(self) -> None:
        """Show the gauges on the process's /metrics."""
        REGISTRY.register(self)

    def describe(self) -> Iterable[Metric]:
        """Say nothing at registration: the shards need not be there yet."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Yield one gauge a property with one sample a shard, and the number of shards that answer."""
        shards = self._stats()
        for name, text, value in _GAUGES:
            gauge = GaugeMetricFamily(f"dicom_node_index_{name}", text, labels=["shard"])
            for stats in shards:
                gauge.add_metric([str(stats.shard)], value(stats))
            yield gauge
        available = sum(stats.available for stats in shards)
        yield GaugeMetricFamily("dicom_node_index_shards_available", "Shards that answer", value=available)
        yield GaugeMetricFamily("dicom_node_index_shards", "Shards there should be", value=len(shards))
