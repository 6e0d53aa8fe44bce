"""The dispatcher against a real Redis: leases, batches, the high-water mark, and a broker that goes away."""

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from kombu import Message

from dicom_node.archive import StoredFile
from dicom_node.broker import Broker
from dicom_node.catalog.intake import Received
from dicom_node.catalog.models import EmbeddingState, Queue
from dicom_node.catalog.repository import Catalog
from dicom_node.dispatch import EMBED_TASK, QUEUES, Dispatcher, make_celery
from dicom_node.errors import Unavailable
from dicom_node.instance import header_of
from dicom_node.settings import DispatchSettings
from tests.dicom import ct
from tests.servers import redis_server


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog(f"sqlite:///{tmp_path}/catalog.sqlite") as catalog:
        yield catalog


@pytest.fixture
def broker_url(redis_url: str) -> str:
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    return redis_url


def make_dispatcher(catalog: Catalog, url: str, **options: object) -> Dispatcher:
    return Dispatcher(catalog, Broker(url), make_celery(url), DispatchSettings.model_validate(options))


def record(catalog: Catalog, *numbers: int, queue: Queue = Queue.ROUTINE) -> None:
    catalog.record(
        [
            Received(
                header_of(ct(SOPInstanceUID=f"1.2.{number}"), "1.2"),
                StoredFile(f"key-{number}", 1, "aa"),
                "SCANNER",
                time.time(),
                queue,
            )
            for number in numbers
        ]
    )


def messages(url: str, queue: Queue = Queue.ROUTINE) -> list[list[str]]:
    """Return the UIDs in each waiting message, the oldest first."""
    with redis.Redis.from_url(url) as client:
        raw = client.lrange(queue.value, 0, -1)
    bodies = [json.loads(base64.b64decode(json.loads(message)["body"])) for message in reversed(raw)]
    return [body[0][0] for body in bodies]


def test_pending_instances_are_announced_in_batches_and_only_once(catalog: Catalog, broker_url: str) -> None:
    record(catalog, *range(5))
    dispatcher = make_dispatcher(catalog, broker_url, batch_size=2)
    assert dispatcher.dispatch_once() == 5
    assert dispatcher.dispatch_once() == 0
    assert messages(broker_url) == [["1.2.0", "1.2.1"], ["1.2.2", "1.2.3"], ["1.2.4"]]


def test_dispatching_stops_at_the_high_water_mark(catalog: Catalog, broker_url: str) -> None:
    record(catalog, *range(5))
    dispatcher = make_dispatcher(catalog, broker_url, batch_size=1, high_water_messages=3)
    assert dispatcher.dispatch_once() == 3
    assert dispatcher.dispatch_once() == 0
    with redis.Redis.from_url(broker_url) as client:
        client.rpop("routine")
    assert dispatcher.dispatch_once() == 1


def test_a_flushed_broker_heals_when_the_leases_run_out(catalog: Catalog, broker_url: str) -> None:
    record(catalog, 1, 2, 3)
    make_dispatcher(catalog, broker_url, lease_s=0.001).dispatch_once()
    catalog.begin(["1.2.2"], lease_s=-1)
    with redis.Redis.from_url(broker_url) as client:
        client.flushall()
    dispatcher = make_dispatcher(catalog, broker_url)
    deadline = time.monotonic() + 5
    while not dispatcher.dispatch_once():
        assert time.monotonic() < deadline
    # What a worker began with in vain goes alone, so that poison takes nothing else with it.
    assert messages(broker_url) == [["1.2.1", "1.2.3"], ["1.2.2"]]


def test_what_was_tried_too_often_is_a_dead_letter(catalog: Catalog, broker_url: str) -> None:
    record(catalog, 1)
    for _ in range(2):
        catalog.claim(Queue.ROUTINE, 1, lease_s=-1)
        catalog.begin(["1.2.1"], lease_s=-1)
    make_dispatcher(catalog, broker_url, maximum_attempts=2).dispatch_once()
    assert messages(broker_url) == []
    (dead,) = catalog.settled(EmbeddingState.FAILED)
    assert dead.reason == "gave up after 2 tries: no worker came to its end"


def test_without_a_broker_nothing_is_claimed(catalog: Catalog, tmp_path: Path) -> None:
    with redis_server(tmp_path) as url:
        dispatcher = make_dispatcher(catalog, url)
    record(catalog, 1)
    with pytest.raises(Unavailable):
        dispatcher.dispatch_once()
    assert len(catalog.claim(Queue.ROUTINE, 1, lease_s=60)) == 1


def test_urgent_queues_have_room_of_their_own(catalog: Catalog, broker_url: str) -> None:
    record(catalog, 1, 2, 3)
    record(catalog, 4, queue=Queue.STAT)
    make_dispatcher(catalog, broker_url, batch_size=1, high_water_messages=1).dispatch_once()
    assert messages(broker_url, Queue.STAT) == [["1.2.4"]]
    assert messages(broker_url, Queue.ROUTINE) == [["1.2.1"]]


def test_heartbeats_tell_of_the_workers(broker_url: str) -> None:
    broker = Broker(broker_url)
    assert broker.workers() == {}
    broker.beat("host:1", 123.0)
    assert broker.workers() == {"host:1": 123.0}
    broker.close()


def test_workers_take_the_most_urgent_queue_first(broker_url: str) -> None:
    app = make_celery(broker_url)
    for queue in reversed(Queue):
        app.send_task(EMBED_TASK, args=[[queue.value]], queue=queue.value)
    taken: list[str] = []

    def take(body: list[list[list[str]]], message: Message) -> None:
        taken.append(body[0][0][0])
        message.ack()

    with app.connection_for_read() as connection:
        queues = [app.amqp.queues.new_missing(name) for name in QUEUES]
        with connection.Consumer(queues, callbacks=[take], accept=["json"]):
            while len(taken) < len(QUEUES):
                connection.drain_events(timeout=5)
    assert taken == ["stat", "routine", "backfill"]
    app.close()


def test_what_goes_alone_stops_at_the_high_water_mark_too(catalog: Catalog, broker_url: str) -> None:
    record(catalog, *range(5))
    catalog.claim(Queue.ROUTINE, 5, lease_s=-1)
    catalog.begin([f"1.2.{number}" for number in range(5)], lease_s=-1)
    assert make_dispatcher(catalog, broker_url, high_water_messages=2).dispatch_once() == 2
    assert messages(broker_url) == [["1.2.0"], ["1.2.1"]]
    assert catalog.waiting() == {Queue.ROUTINE: 3}
