"""From the outbox to the workers: claims pending rows by lease, sends batches of UIDs, re-sends what was lost.

Run as one process (`dicom-node dispatch`); several do no harm. Owns the announcement: the task's name, its arguments,
the queues, and the Celery settings that both ends share. The rule: the outbox is the truth and a message only a hint,
so everything lost on the way (message, worker, broker) heals when the lease runs out.
"""

import logging
import threading
from collections.abc import Sequence
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError
from prometheus_client import start_http_server

from dicom_node import metrics
from dicom_node.broker import Broker
from dicom_node.catalog.models import Queue
from dicom_node.catalog.outbox import Announcement
from dicom_node.catalog.repository import Catalog
from dicom_node.errors import Unavailable
from dicom_node.settings import DispatchSettings, Settings
from dicom_node.signals import stop_on_signals

logger = logging.getLogger(__name__)

EMBED_TASK = "workers.embed"
QUEUES = tuple(queue.value for queue in Queue)
GAUGES_EVERY_ROUNDS = 20


def make_celery(broker_url: str) -> Celery:
    """Return the Celery app that both ends use: JSON only, no results, hints that may be lost."""
    app = Celery("dicom_node", broker=broker_url)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        result_backend=None,
        # The lease brings back what a worker took with it; acknowledging late would only double that.
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "queue_order_strategy": "priority",
            "visibility_timeout": 3600,
            "health_check_interval": 10,
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
        },
        task_create_missing_queues=True,
        task_default_queue=Queue.ROUTINE.value,
    )
    return app


class Dispatcher:
    """Moves announcements from the outbox into the broker's queues, never more than the high-water mark."""

    def __init__(self, catalog: Catalog, broker: Broker, celery: Celery, settings: DispatchSettings) -> None:
        """Dispatch from `catalog` through `celery`; `broker` tells how full the queues are."""
        self._catalog = catalog
        self._broker = broker
        self._celery = celery
        self._settings = settings

    def run(self, stop: threading.Event) -> None:
        """Dispatch until `stop` is set; a broker or catalog that is away is tried again, with a growing pause."""
        pause_s, rounds = self._settings.poll_interval_s, 0
        while not stop.is_set():
            try:
                sent = self.dispatch_once()
                if rounds % GAUGES_EVERY_ROUNDS == 0:
                    self._set_gauges()
                pause_s = 0.0 if sent else self._settings.poll_interval_s
            except Unavailable as error:
                logger.warning("cannot dispatch: %s", error)
                pause_s = min(max(2 * pause_s, self._settings.poll_interval_s), 5.0)
            rounds += 1
            stop.wait(pause_s)

    def dispatch_once(self) -> int:
        """Fill the queues up to the high-water mark; return how many instances were announced. Raises Unavailable."""
        buried = self._catalog.bury(self._settings.maximum_attempts)
        metrics.DEAD_LETTERS.inc(buried)
        lengths = self._broker.queue_lengths(QUEUES)
        waiting = self._catalog.waiting()
        return sum(
            self._fill(queue, self._settings.high_water_messages - lengths[queue.value])
            for queue in Queue
            if waiting.get(queue)
        )

    def _fill(self, queue: Queue, room: int) -> int:
        sent = 0
        while room > 0:
            claimed = self._catalog.claim(queue, self._settings.batch_size, self._settings.lease_s)
            batches = _batches(claimed)
            sent += self._send(queue, batches, room)
            room -= len(batches)
            if len(claimed) < self._settings.batch_size:
                break
        return sent

    def _send(self, queue: Queue, batches: Sequence[Sequence[str]], room: int) -> int:
        """Send at most `room` batches; what is not sent goes back at once. Return how many instances were sent."""
        sent = 0
        try:
            for uids in batches[:room]:
                self._celery.send_task(EMBED_TASK, args=[list(uids)], queue=queue.value, retry=False)
                metrics.ANNOUNCED.labels(queue.value).inc(len(uids))
                sent += 1
        except (OperationalError, OSError) as error:
            raise Unavailable(f"the broker could not take a message: {type(error).__name__}") from error
        finally:
            if unsent := [uid for uids in batches[sent:] for uid in uids]:
                self._catalog.unclaim(unsent)
        return sum(map(len, batches[:sent]))

    def _set_gauges(self) -> None:
        counts = self._catalog.counts()
        for state in ("pending", "embedded", "rejected", "failed"):
            metrics.INSTANCES.labels(state).set(getattr(counts, state))
        metrics.OLDEST_PENDING_SECONDS.set(counts.oldest_pending_s or 0.0)
        for queue, length in self._broker.queue_lengths(QUEUES).items():
            metrics.QUEUE_MESSAGES.labels(queue).set(length)


def _batches(claimed: Sequence[Announcement]) -> list[list[str]]:
    """One batch for what no worker has tried; alone what was tried in vain, so that poison harms nobody else."""
    first = [announcement.sop_instance_uid for announcement in claimed if not announcement.attempts]
    again = [[announcement.sop_instance_uid] for announcement in claimed if announcement.attempts]
    return [first, *again] if first else again


def run(settings: Settings) -> int:
    """Run the dispatcher process until SIGTERM or SIGINT; return the exit status."""
    stop = stop_on_signals()
    if settings.metrics.dispatch_port:
        start_http_server(settings.metrics.dispatch_port, settings.metrics.host)
    broker = Broker(settings.broker_url)
    with Catalog(settings.catalog_url) as catalog:
        celery: Any = make_celery(settings.broker_url)
        Dispatcher(catalog, broker, celery, settings.dispatch).run(stop)
        celery.close()
    broker.close()
    return 0
