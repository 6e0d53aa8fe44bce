"""The gRPC server in front of any `VectorIndex`: the router's process and each shard's run one.

The border where the three errors become status codes; health and reflection are served beside the index itself.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from types import TracebackType
from typing import Any

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from index_service import messages_pb2 as messages
from index_service import wire
from index_service.errors import Corrupt, Rejected, Unavailable, place_of
from index_service.metrics import (
    DELETED_RECORDS,
    OPERATION_SECONDS,
    PARTIAL_ANSWERS,
    REQUESTS,
    SEARCH_SECONDS,
    UPSERTED_RECORDS,
)
from index_service.port import VectorIndex

_logger = logging.getLogger(__name__)

SERVICE = messages.DESCRIPTOR.services_by_name["VectorIndex"]
# Fetched records are sent in messages of about this size.
_FETCH_BYTES = 2**20

# Details travel in a header, which is bounded.
_LONGEST_DETAILS = 1000

_STATUS: Mapping[type[BaseException], grpc.StatusCode] = {
    Rejected: grpc.StatusCode.INVALID_ARGUMENT,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    Corrupt: grpc.StatusCode.DATA_LOSS,
}


class IndexServer:
    """Serves an index at an address until stopped. The index is closed by whoever made it."""

    def __init__(self, index: VectorIndex, address: str, *, threads: int, message_bytes: int) -> None:
        """Listen, but do not answer before `start`; raise Unavailable when the address cannot be had."""
        self._health = health.HealthServicer()
        self._server = grpc.server(
            futures.ThreadPoolExecutor(threads, thread_name_prefix="grpc"),
            options=[
                ("grpc.max_receive_message_length", message_bytes),
                ("grpc.max_send_message_length", message_bytes),
                # Without this a second server would share the port in silence.
                ("grpc.so_reuseport", 0),
            ],
        )
        self._server.add_generic_rpc_handlers((_handlers(index),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (SERVICE.full_name, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        self.port = _listen(self._server, address)

    def start(self) -> None:
        """Answer requests; health says so from then on."""
        self._server.start()
        for name in ("", SERVICE.full_name):
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    def stop(self, grace_s: float) -> None:
        """Take no new requests and return when those being answered are done or `grace_s` is over."""
        self._health.enter_graceful_shutdown()
        self._server.stop(grace_s).wait()


def _listen(server: grpc.Server, address: str) -> int:
    try:
        return server.add_insecure_port(address)
    except RuntimeError as error:
        raise Unavailable(f"cannot listen at {address}") from error


def _handlers(index: VectorIndex) -> "grpc.GenericRpcHandler[Any, Any]":
    requests = _Requests(index)
    unary: dict[str, Callable[[Any], Message]] = {
        "CreateSpace": requests.create_space,
        "Spaces": requests.spaces,
        "Upsert": requests.upsert,
        "Delete": requests.delete,
        "Search": requests.search,
        "Stats": requests.stats,
    }
    handlers = {name: _unary_handler(name, answer) for name, answer in unary.items()}
    handlers["Fetch"] = _stream_handler("Fetch", requests.fetch)
    return grpc.method_handlers_generic_handler(SERVICE.full_name, handlers)


class _Requests:
    """One method a request: message in, call, message out."""

    def __init__(self, index: VectorIndex) -> None:
        self._index = index

    def create_space(self, request: messages.Space) -> messages.Empty:
        self._index.create_space(wire.space_of(request))
        return messages.Empty()

    def spaces(self, _: messages.Empty) -> messages.SpaceList:
        return messages.SpaceList(spaces=[wire.space_message(space) for space in self._index.spaces()])

    def upsert(self, request: messages.UpsertRequest) -> messages.Empty:
        space, records = wire.upsert_of(request)
        self._index.upsert(space, records)
        UPSERTED_RECORDS.inc(len(records))
        return messages.Empty()

    def delete(self, request: messages.DeleteRequest) -> messages.DeleteReply:
        deleted = self._index.delete(*wire.delete_of(request))
        DELETED_RECORDS.inc(deleted)
        return messages.DeleteReply(deleted=deleted)

    def search(self, request: messages.Query) -> messages.Answer:
        with SEARCH_SECONDS.time():
            answer = self._index.search(wire.query_of(request))
        PARTIAL_ANSWERS.inc(answer.partial)
        return wire.answer_message(answer)

    def fetch(self, request: messages.FetchRequest) -> list[messages.RecordList]:
        records = self._index.fetch(request.space, wire.example_of(request.example))
        return list(wire.record_lists(map(wire.record_message, records), _FETCH_BYTES))

    def stats(self, _: messages.Empty) -> messages.StatsReply:
        return messages.StatsReply(shards=[wire.stats_message(stats) for stats in self._index.stats()])


class _Border:
    """Around the answering of one request: measures it and turns errors into status codes, once and for all."""

    def __init__(self, operation: str, context: grpc.ServicerContext) -> None:
        self._operation = operation
        self._context = context

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        OPERATION_SECONDS.labels(self._operation).observe(time.perf_counter() - self._start)
        status = grpc.StatusCode.OK if kind is None else _STATUS.get(kind, grpc.StatusCode.INTERNAL)
        REQUESTS.labels(self._operation, status.name).inc()
        if error is not None and status is grpc.StatusCode.INTERNAL:
            _logger.error("%s failed: %s", self._operation, place_of(error))
            self._context.abort(status, "internal error, see the log of the index service")
        if error is not None:
            self._context.abort(status, str(error)[:_LONGEST_DETAILS])


def _unary_handler(name: str, answer: Callable[[Any], Message]) -> "grpc.RpcMethodHandler[Any, Any]":
    def handle(request: Message, context: grpc.ServicerContext) -> Message:
        with _Border(name, context):
            return answer(request)

    return grpc.unary_unary_rpc_method_handler(handle, _request_type(name).FromString, _serialized)


def _stream_handler(name: str, answer: Callable[[Any], Sequence[Message]]) -> "grpc.RpcMethodHandler[Any, Any]":
    def handle(request: Message, context: grpc.ServicerContext) -> Iterator[Message]:
        with _Border(name, context):
            replies = answer(request)
        yield from replies

    return grpc.unary_stream_rpc_method_handler(handle, _request_type(name).FromString, _serialized)


def _request_type(name: str) -> type[Message]:
    return GetMessageClass(SERVICE.methods_by_name[name].input_type)


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()
