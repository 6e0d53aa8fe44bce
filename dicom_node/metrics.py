"""The node's Prometheus metrics, all in one place. Labels come from closed sets only: never a UID, a patient, an
unlisted AE title.
"""

from prometheus_client import Counter, Gauge, Histogram

from dicom_node.catalog.intake import Outcome

FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LAG = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0)

INSTANCES_RECEIVED = Counter(
    "dicom_node_instances_received_total", "Instances durably kept and acknowledged.", ["outcome"]
)
for _outcome in Outcome:
    INSTANCES_RECEIVED.labels(_outcome.value)
STORES_REFUSED = Counter("dicom_node_stores_refused_total", "C-STORE requests not answered with 0000.", ["status"])
STORE_SECONDS = Histogram(
    "dicom_node_store_seconds", "From the last byte of an instance to its durable receipt.", buckets=FAST
)
ASSOCIATIONS_OPEN = Gauge("dicom_node_associations_open", "Associations now open.")
ASSOCIATIONS = Counter("dicom_node_associations_total", "Associations by how they began.", ["outcome"])
QUERIES = Counter("dicom_node_queries_total", "Queries answered.", ["service", "level", "status"])
QUERY_SECONDS = Histogram("dicom_node_query_seconds", "Whole queries, first to last byte.", ["service"], buckets=FAST)
RETRIEVALS = Counter("dicom_node_retrievals_total", "C-MOVE and C-GET answered.", ["service", "level", "status"])
SUBOPERATIONS = Counter(
    "dicom_node_suboperations_total", "Instances sent for C-MOVE and C-GET, by what became of each.", ["outcome"]
)
SIMILARITY_SECONDS = Histogram(
    "dicom_node_similarity_seconds", "Similarity searches, without the sending of rows.", buckets=FAST
)
SIMILARITY_PARTIAL = Counter("dicom_node_similarity_partial_total", "Similarity answers with a shard missing.")
ANNOUNCED = Counter("dicom_node_announced_total", "Instances sent to the workers, re-sent ones included.", ["queue"])
DEAD_LETTERS = Counter("dicom_node_dead_letters_total", "Instances given up after too many tries.")
INSTANCES = Gauge("dicom_node_instances", "Kept instances by state.", ["state"])
OLDEST_PENDING_SECONDS = Gauge("dicom_node_oldest_pending_seconds", "Age of the oldest instance not yet embedded.")
QUEUE_MESSAGES = Gauge("dicom_node_queue_messages", "Messages waiting in the broker.", ["queue"])
EMBEDDED = Counter("dicom_node_embedded_total", "Instances by how embedding ended.", ["outcome"])
EMBED_STAGE_SECONDS = Histogram(
    "dicom_node_embed_stage_seconds", "Time of a worker's stages, per batch.", ["stage"], buckets=LAG
)
RECEIVED_TO_SEARCHABLE_SECONDS = Histogram(
    "dicom_node_received_to_searchable_seconds",
    "From the receipt of an instance to its vectors in the index.",
    buckets=LAG,
)
