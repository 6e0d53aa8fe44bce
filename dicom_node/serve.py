"""The serving process (`dicom-node serve`): the DIMSE and the HTTP edge over one archive, catalog and index client.

The place where the node's parts are built and joined; nothing else constructs them. The rule: it accepts and keeps
instances whatever the state of broker, workers and index; only the readiness check cares for those.
"""

import logging
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from dicom_node.archive import Archive
from dicom_node.attribute_search import AttributeSearch
from dicom_node.broker import Broker
from dicom_node.catalog.repository import Catalog
from dicom_node.converter import Converter
from dicom_node.dimse.server import DicomServer
from dicom_node.errors import Unavailable
from dicom_node.ingest import Ingest
from dicom_node.retrieve import Retrieval
from dicom_node.settings import Settings
from dicom_node.signals import stop_on_signals
from dicom_node.similarity_search import SimilaritySearch
from dicom_node.web.app import NodeParts, create_app
from dicom_node.web.server import HttpServer
from index_service.client import IndexClient
from index_service.port import VectorIndex

logger = logging.getLogger(__name__)

DRAIN_S = 5.0


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT, then finish what is being received; return the exit status."""
    stop = stop_on_signals()
    with ExitStack() as stack:
        catalog = stack.enter_context(Catalog(settings.catalog_url))
        archive = Archive(settings.archive_dir, settings.archive.reserve_bytes)
        if discarded := archive.discard_unrecorded(catalog.known_files):
            logger.info("discarded %d unacknowledged files of a process that ended", discarded)
        index = IndexClient(settings.index.address)
        stack.callback(index.close)
        broker = Broker(settings.broker_url)
        stack.callback(broker.close)
        ingest = Ingest(archive, catalog, settings.archive.header_limit_bytes)
        stack.callback(ingest.close)
        similarity = SimilaritySearch(catalog, index, settings.similarity)
        stack.callback(similarity.close)
        converter = Converter(archive, settings.retrieve)
        stack.callback(converter.close)
        dicom = DicomServer(
            settings.dicom,
            ingest,
            AttributeSearch(catalog, settings.dicom),
            similarity,
            Retrieval(catalog, archive, converter),
            settings.peers,
        )
        dicom.start()
        stack.callback(dicom.stop, DRAIN_S)
        http = HttpServer(
            settings.http,
            create_app(NodeParts(settings, catalog, index, similarity, readiness(settings, catalog, index, broker))),
        )
        http.start()
        stack.callback(http.stop)
        logger.info("serving DICOM on port %d and HTTP on port %d", dicom.bound_port, http.bound_port)
        stop.wait()
        logger.info("stopping")
    return 0


def readiness(
    settings: Settings, catalog: Catalog, index: VectorIndex, broker: Broker
) -> Mapping[str, Callable[[], object]]:
    """Return the named checks of /readyz: each raises Unavailable while an instance could not pass that station."""
    return {
        "archive": lambda: _check_archive(settings),
        "catalog": catalog.check,
        "broker": broker.ping,
        "workers": lambda: _check_workers(broker),
        "index": lambda: _check_index(index),
    }


def _check_archive(settings: Settings) -> None:
    if shutil.disk_usage(settings.archive_dir).free < settings.archive.reserve_bytes:
        raise Unavailable("the archive's disk is nearly full")


def _check_workers(broker: Broker) -> None:
    if not broker.workers():
        raise Unavailable("no worker is alive")


def _check_index(index: VectorIndex) -> None:
    missing = [shard.shard for shard in index.stats() if not shard.available]
    if missing:
        raise Unavailable(f"index shards away: {', '.join(map(str, missing))}")
