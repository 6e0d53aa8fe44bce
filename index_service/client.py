"""The network client: the index as seen from another process. What `dicom_node` and `workers` import.

Each call has a deadline and raises the same three errors as the index itself. The connection is made at the first
call (make the client after forking, or at least call nothing before) and made again whenever the server is back.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc

from index_service import messages_pb2 as messages
from index_service import wire
from index_service.errors import Corrupt, Rejected, Unavailable
from index_service.port import Answer, Example, Query, Record, ShardStats
from index_service.vector_space import VectorSpace

_SERVICE = messages.DESCRIPTOR.services_by_name["VectorIndex"].full_name
# Room in an upsert for all that is not a record: the name of the space, tags and lengths.
_SPARE_BYTES = 16 * 1024

# What makes a request wrong; everything else may pass: the server is away, busy, late or being repaired.
_ERROR_OF: Mapping[grpc.StatusCode, type[Exception]] = {
    grpc.StatusCode.INVALID_ARGUMENT: Rejected,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Rejected,  # a message over the server's limit, the only use our server has
    grpc.StatusCode.DATA_LOSS: Corrupt,
}

_Reply = TypeVar("_Reply", bound=Message)


class IndexClient:
    """A `VectorIndex` at an address ("host:port" or "unix:/path"). Safe for threads, not to be shared over a fork."""

    def __init__(
        self,
        address: str,
        *,
        search_timeout_s: float = 10.0,
        write_timeout_s: float = 60.0,
        message_bytes: int = 64 * 2**20,
    ) -> None:
        self.address = address
        self._search_timeout_s = search_timeout_s
        self._write_timeout_s = write_timeout_s
        self._message_bytes = message_bytes
        self._connecting = threading.Lock()
        self._channel: grpc.Channel | None = None

    def wait_until_ready(self, timeout_s: float) -> None:
        """Return when the server answers; raise Unavailable when it does not within `timeout_s`."""
        check = health_pb2_grpc.HealthStub(self._connected()).Check
        try:
            reply = check(health_pb2.HealthCheckRequest(), timeout=timeout_s, wait_for_ready=True)
        except grpc.RpcError as error:
            raise self._translated(error) from error
        if reply.status != health_pb2.HealthCheckResponse.SERVING:
            raise Unavailable(f"the index at {self.address} is not serving")

    def create_space(self, space: VectorSpace) -> None:
        """See `VectorIndex.create_space`."""
        self._call("CreateSpace", _message(wire.space_message, space), messages.Empty, self._write_timeout_s)

    def spaces(self) -> list[VectorSpace]:
        """See `VectorIndex.spaces`."""
        reply = self._call("Spaces", messages.Empty(), messages.SpaceList, self._search_timeout_s)
        return [wire.space_of(space) for space in reply.spaces]

    def upsert(self, space: str, records: Sequence[Record]) -> None:
        """See `VectorIndex.upsert`; in several requests where the records need more than one message's room."""
        made = (_message(wire.record_message, record) for record in records)
        for batch in wire.record_lists(made, self._message_bytes - _SPARE_BYTES):
            request = messages.UpsertRequest(space=space, records=batch.records)
            if request.ByteSize() > self._message_bytes:
                raise Rejected(f"a record of {request.ByteSize()} bytes is over the {self._message_bytes} of a message")
            self._call("Upsert", request, messages.Empty, self._write_timeout_s)

    def delete(self, space: str, keys: Mapping[str, str] | None = None, groups: Sequence[str] = ()) -> int:
        """See `VectorIndex.delete`."""
        request = _message(wire.delete_message, space, keys or {}, groups)
        return self._call("Delete", request, messages.DeleteReply, self._write_timeout_s).deleted

    def search(self, query: Query) -> Answer:
        """See `VectorIndex.search`."""
        request = _message(wire.query_message, query)
        return wire.answer_of(self._call("Search", request, messages.Answer, self._search_timeout_s))

    def fetch(self, space: str, example: Example) -> list[Record]:
        """See `VectorIndex.fetch`."""
        request = messages.FetchRequest(space=space, example=_message(wire.example_message, example))
        fetch = self._connected().unary_stream(
            f"/{_SERVICE}/Fetch",
            request_serializer=messages.FetchRequest.SerializeToString,
            response_deserializer=messages.RecordList.FromString,
        )
        try:
            return [
                r for reply in fetch(request, timeout=self._search_timeout_s) for r in wire.records_of(reply.records)
            ]
        except grpc.RpcError as error:
            raise self._translated(error) from error

    def stats(self) -> list[ShardStats]:
        """See `VectorIndex.stats`."""
        reply = self._call("Stats", messages.Empty(), messages.StatsReply, self._search_timeout_s)
        return [wire.stats_of(shard) for shard in reply.shards]

    def close(self) -> None:
        """End the connection; the next call would make a new one."""
        with self._connecting:
            if self._channel is not None:
                self._channel.close()
                self._channel = None

    def _call(self, name: str, request: Message, reply: type[_Reply], timeout_s: float) -> _Reply:
        call = self._connected().unary_unary(
            f"/{_SERVICE}/{name}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=reply.FromString,
        )
        try:
            answer: _Reply = call(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise self._translated(error) from error
        return answer

    def _connected(self) -> grpc.Channel:
        with self._connecting:
            if self._channel is None:
                self._channel = grpc.insecure_channel(
                    self.address,
                    options=[
                        ("grpc.max_receive_message_length", self._message_bytes),
                        ("grpc.max_send_message_length", self._message_bytes),
                        # A restarted server is found again within a second; gRPC's own back-off goes to two minutes.
                        ("grpc.initial_reconnect_backoff_ms", 100),
                        ("grpc.min_reconnect_backoff_ms", 100),
                        ("grpc.max_reconnect_backoff_ms", 1000),
                        ("grpc.use_local_subchannel_pool", 1),
                    ],
                )
            return self._channel

    def _translated(self, error: grpc.RpcError) -> Exception:
        code, details = error.code(), error.details()
        if code in _ERROR_OF:
            return _ERROR_OF[code](details)
        return Unavailable(f"the index at {self.address} does not answer: {code.name}, {details}")


def _message(make: Callable[..., _Reply], *values: object) -> _Reply:
    """Make a message; what does not fit its fields (a lone surrogate, a number out of range) is Rejected."""
    try:
        return make(*values)
    except ValueError as error:
        raise Rejected(f"the request cannot be sent: {error}") from error
