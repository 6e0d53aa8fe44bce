"""The worker process: builds the parts, then lets Celery call the tasks until it is told to end.

Run by `python -m workers`. One thread embeds (`-P threads -c 1`), decoding happens in a child process; the process is
niced, because intake comes first on a shared machine. The rule: a worker can be killed at any moment.
"""

import logging
import os
import socket
import threading
import warnings
from contextlib import ExitStack

from celery.platforms import SecurityWarning
from celery.signals import worker_shutting_down
from prometheus_client import start_http_server

from dicom_node.archive import Archive
from dicom_node.broker import HEARTBEAT_LIFETIME_S, Broker
from dicom_node.catalog.repository import Catalog
from dicom_node.dispatch import QUEUES, make_celery
from dicom_node.errors import Unavailable
from dicom_node.settings import Settings
from index_service.client import IndexClient
from workers.decoding import Decoder, DecoderLimits
from workers.embedders.registry import make_embedder
from workers.embedding import Embedding
from workers.tasks import register

logger = logging.getLogger(__name__)


def run(settings: Settings) -> int:
    """Work until SIGTERM or SIGINT; return the exit status."""
    os.nice(settings.worker.nice)
    if settings.metrics.worker_port:
        start_http_server(settings.metrics.worker_port, settings.metrics.host)
    with ExitStack() as stack:
        catalog = stack.enter_context(Catalog(settings.catalog_url))
        index = IndexClient(settings.index.address)
        stack.callback(index.close)
        embedding = Embedding(
            catalog,
            Archive(settings.archive_dir),
            index,
            make_decoder(settings),
            make_embedder(settings.worker.embedder, settings.worker.torch_threads, settings.worker.device),
            settings,
        )
        stack.callback(embedding.close)
        stack.callback(_start_heartbeat(settings.broker_url, embedding).set)
        _work(settings, embedding)
    return 0


def make_decoder(settings: Settings) -> Decoder:
    """Return the decoder with the limits of the settings."""
    return Decoder(
        DecoderLimits(
            time_s=settings.worker.decode_timeout_s,
            memory_bytes=settings.worker.decode_memory_bytes,
            maximum_frames=settings.worker.frames_per_instance,
        )
    )


def _work(settings: Settings, embedding: Embedding) -> None:
    # Celery warns of root because of pickle; only JSON is accepted here.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    app = make_celery(settings.broker_url)
    register(app, embedding)
    # Celery's warm shutdown waits for the task in hand; this makes that short.
    worker_shutting_down.connect(lambda **_: embedding.stop(), weak=False)
    app.worker_main(
        [
            *("--quiet", "worker"),  # no banner in the log
            *("--pool", "threads", "--concurrency", "1", "--queues", ",".join(QUEUES)),
            *("--hostname", f"{os.getpid()}@%h", "--loglevel", "warning", "--without-gossip", "--without-mingle"),
        ]
    )


def _start_heartbeat(broker_url: str, embedding: Embedding) -> threading.Event:
    stop = threading.Event()

    def beat() -> None:
        broker = Broker(broker_url)
        name = f"{socket.gethostname()}:{os.getpid()}"
        while not stop.is_set():
            try:
                broker.beat(name, embedding.last_progress_at)
            except Unavailable as error:
                logger.info("no heartbeat: %s", error)
            stop.wait(HEARTBEAT_LIFETIME_S / 5)
        broker.close()

    threading.Thread(target=beat, name="heartbeat", daemon=True).start()
    return stop
