"""The server and its client: errors keep their kind over the wire, limits and deadlines hold, health is told."""

import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import REGISTRY

from index_service.client import IndexClient
from index_service.errors import Corrupt, Rejected, Unavailable
from index_service.port import Answer, Example, Query
from index_service.server import IndexServer
from index_service.settings import IndexSettings
from index_service.shard import Shard
from tests.contracts.index_data import groups, new_space, record, vectors
from tests.servers import free_port, wait_for

SPACE = new_space(1024)
QUERY = Query(SPACE.name, 1, vectors=vectors([1.0] * 1024))
MESSAGE_BYTES = 2**20


class FailingShard(Shard):
    """A shard whose searches fail with what it is told to, or come late."""

    failure: Exception | None = None
    delay_s = 0.0

    def search(self, query: Query) -> Answer:
        """Fail, or answer after a while."""
        if self.failure is not None:
            raise self.failure
        threading.Event().wait(self.delay_s)
        return super().search(query)


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"unix:{tmp_path}/index.sock"


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[FailingShard]:
    shard = FailingShard(IndexSettings(data_dir=tmp_path, shards=1), 0)
    shard.create_space(SPACE)
    yield shard
    shard.close()


@pytest.fixture
def served(shard: FailingShard, address: str) -> Iterator[FailingShard]:
    server = IndexServer(shard, address, threads=4, message_bytes=MESSAGE_BYTES)
    server.start()
    yield shard
    server.stop(0)


@pytest.fixture
def client(address: str) -> Iterator[IndexClient]:
    client = IndexClient(address, search_timeout_s=5, message_bytes=MESSAGE_BYTES)
    yield client
    client.close()


@pytest.mark.parametrize("kind", [Rejected, Unavailable, Corrupt])
def test_an_error_keeps_its_kind_and_words(served: FailingShard, client: IndexClient, kind: type[Exception]) -> None:
    served.failure = kind("what was attempted")
    with pytest.raises(kind, match="what was attempted"):
        client.search(QUERY)


def test_an_error_of_ours_is_unavailable_and_keeps_its_words_to_itself(
    served: FailingShard, client: IndexClient
) -> None:
    served.failure = KeyError("a name that nobody should see")
    with pytest.raises(Unavailable) as caught:
        client.search(QUERY)
    assert "nobody" not in str(caught.value)


def test_an_endless_reason_still_arrives(served: FailingShard, client: IndexClient) -> None:
    served.failure = Rejected("long " * 100_000)
    with pytest.raises(Rejected, match=r"^(long ){200}$"):
        client.search(QUERY)


def test_an_answer_that_is_late_is_unavailable(served: FailingShard, address: str) -> None:
    served.delay_s = 0.5
    impatient = IndexClient(address, search_timeout_s=0.05)
    with pytest.raises(Unavailable, match="DEADLINE_EXCEEDED"):
        impatient.search(QUERY)
    impatient.close()


def test_where_nothing_listens_everything_is_unavailable(client: IndexClient) -> None:
    with pytest.raises(Unavailable):
        client.wait_until_ready(0.1)
    with pytest.raises(Unavailable):
        client.fetch(SPACE.name, Example("g"))


def test_records_are_sent_in_as_many_messages_as_they_need(served: FailingShard, client: IndexClient) -> None:
    rows = [[1.0] * 1024] * 100  # 400 KiB
    client.upsert(SPACE.name, [record(f"g/s/{i}", *rows) for i in range(5)])
    assert [stats.vectors for stats in served.stats()] == [500]
    assert [len(each.vectors) for each in client.fetch(SPACE.name, Example("g"))] == [100] * 5


def test_a_record_over_the_limit_of_a_message_is_rejected(
    served: FailingShard, client: IndexClient, address: str
) -> None:
    large = record("g/s/i", *[[1.0] * 1024] * 300)
    with pytest.raises(Rejected):
        client.upsert(SPACE.name, [large])
    careless = IndexClient(address, message_bytes=2**24)
    with pytest.raises(Rejected):
        careless.upsert(SPACE.name, [large])
    careless.close()


def test_a_client_finds_its_server_again(shard: FailingShard, client: IndexClient, address: str) -> None:
    for _ in range(2):
        server = IndexServer(shard, address, threads=2, message_bytes=MESSAGE_BYTES)
        server.start()
        client.wait_until_ready(5)
        assert [stats.vectors for stats in client.stats()] == [0]
        server.stop(0)
        with pytest.raises(Unavailable):
            client.stats()


def test_an_address_has_one_server(shard: FailingShard) -> None:
    address = f"127.0.0.1:{free_port()}"
    first = IndexServer(shard, address, threads=2, message_bytes=MESSAGE_BYTES)
    with pytest.raises(Unavailable):
        IndexServer(shard, address, threads=2, message_bytes=MESSAGE_BYTES)
    first.start()
    first.stop(0)


def test_health_and_reflection_are_served(served: FailingShard, address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "index_service.VectorIndex"):
            reply = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
            assert reply.status == health_pb2.HealthCheckResponse.SERVING
        listed = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=5
        )
        names = {service.name for reply in listed for service in reply.list_services_response.service}
    assert names >= {"index_service.VectorIndex", "grpc.health.v1.Health"}


def test_requests_are_counted_by_operation_and_outcome(served: FailingShard, client: IndexClient) -> None:
    def count(outcome: str) -> float:
        labels = {"operation": "Search", "outcome": outcome}
        return REGISTRY.get_sample_value("dicom_node_index_requests_total", labels) or 0.0

    before = count("OK"), count("DATA_LOSS")
    assert groups(client.search(QUERY)) == []
    served.failure = Corrupt("damaged")
    with pytest.raises(Corrupt):
        client.search(QUERY)
    # The count follows the answer on the server's thread.
    wait_for(lambda: (count("OK"), count("DATA_LOSS")) == (before[0] + 1, before[1] + 1), "both counted", 5)
