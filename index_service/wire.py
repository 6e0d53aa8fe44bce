"""Translation between the port's types and the protobuf messages, both ways, for the wire, the log and the snapshot.

Whatever cannot be a value of the port's types (a vector of half a float, an unknown level) is Rejected here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, cast, get_args

import numpy as np

from index_service import messages_pb2 as messages
from index_service.errors import Rejected
from index_service.port import (
    Answer,
    Condition,
    Example,
    ExamplePart,
    Filter,
    Level,
    Neighbor,
    Query,
    Record,
    ShardStats,
    Vectors,
)
from index_service.vector_space import VectorSpace

_LITTLE_ENDIAN = np.dtype("<f4")
_OPERATORS: tuple[Literal["in", "not_in", "range"], ...] = ("in", "not_in", "range")


def space_message(space: VectorSpace) -> messages.Space:
    """Return the message of a vector space."""
    return messages.Space(
        name=space.name,
        dimension=space.dimension,
        model=space.model,
        preprocessing=space.preprocessing,
        version=space.version,
        metric=space.metric,
    )


def space_of(message: messages.Space) -> VectorSpace:
    """Return the vector space of a message."""
    if message.metric != "cosine":
        raise Rejected(f"unknown metric {message.metric!r} of a vector space")
    return VectorSpace(
        message.name, message.dimension, message.model, message.preprocessing, message.version, metric="cosine"
    )


def record_message(record: Record) -> messages.Record:
    """Return the message of a record."""
    return messages.Record(
        key=record.key,
        group=record.group,
        part=record.part,
        vectors=_floats(record.vectors),
        positions=record.positions,
        version=record.version,
        order=record.order,
        attributes=record.attributes,
    )


def record_of(message: messages.Record) -> Record:
    """Return the record of a message; its vectors are a read-only view of the message's bytes."""
    return Record(
        message.key,
        message.group,
        message.part,
        _rows(message.vectors, len(message.positions)),
        tuple(message.positions),
        message.version,
        message.order,
        dict(message.attributes),
    )


def records_of(messages_: Iterable[messages.Record]) -> list[Record]:
    """Return the records of messages, in their order."""
    return [record_of(message) for message in messages_]


def record_lists(records: Iterable[messages.Record], size_bytes: int) -> Iterator[messages.RecordList]:
    """Yield the records in lists of at most `size_bytes`, or of one record that alone is larger."""
    batch, batch_bytes = messages.RecordList(), 0
    for message in records:
        if batch_bytes and batch_bytes + message.ByteSize() > size_bytes:
            yield batch
            batch, batch_bytes = messages.RecordList(), 0
        batch.records.append(message)
        batch_bytes += message.ByteSize()
    if batch_bytes:
        yield batch


def upsert_message(space: str, records: Iterable[Record]) -> messages.UpsertRequest:
    """Return the message that stores `records`."""
    return messages.UpsertRequest(space=space, records=[record_message(record) for record in records])


def upsert_of(message: messages.UpsertRequest) -> tuple[str, list[Record]]:
    """Return space and records of an upsert."""
    return message.space, records_of(message.records)


def delete_message(space: str, keys: Mapping[str, str], groups: Sequence[str]) -> messages.DeleteRequest:
    """Return the message that removes records and groups."""
    return messages.DeleteRequest(space=space, keys=keys, groups=groups)


def delete_of(message: messages.DeleteRequest) -> tuple[str, dict[str, str], tuple[str, ...]]:
    """Return space, keys and groups of a delete."""
    return message.space, dict(message.keys), tuple(message.groups)


def example_message(example: Example) -> messages.Example:
    """Return the message of an example."""
    return messages.Example(group=example.group, part=example.part, key=example.key, position=example.position)


def example_of(message: messages.Example) -> Example:
    """Return the example of a message."""
    return Example(
        message.group,
        message.part if message.HasField("part") else None,
        message.key if message.HasField("key") else None,
        message.position if message.HasField("position") else None,
    )


def query_message(query: Query) -> messages.Query:
    """Return the message of a query; `vectors` travel as the one part they are."""
    parts = list(query.parts)
    if query.vectors is not None:
        parts.append(ExamplePart(query.vectors, query.attributes))
    return messages.Query(
        space=query.space,
        k=query.k,
        example=None if query.example is None else example_message(query.example),
        parts=[_part_message(part) for part in parts],
        level=query.level,
        filter=_filter_message(query.filter),
        comparable=query.comparable,
        minimum_score=query.minimum_score,
        exact=query.exact,
    )


def query_of(message: messages.Query) -> Query:
    """Return the query of a message."""
    if message.level not in get_args(Level):
        raise Rejected(f"unknown level {message.level!r}")
    return Query(
        space=message.space,
        k=message.k,
        example=example_of(message.example) if message.HasField("example") else None,
        parts=tuple(_part_of(part) for part in message.parts),
        level=cast("Level", message.level),
        filter=_filter_of(message.filter),
        comparable=tuple(message.comparable),
        minimum_score=message.minimum_score if message.HasField("minimum_score") else None,
        exact=message.exact,
    )


def answer_message(answer: Answer) -> messages.Answer:
    """Return the message of an answer."""
    return messages.Answer(
        neighbors=[
            messages.Neighbor(group=n.group, part=n.part, key=n.key, position=n.position, distance=n.distance)
            for n in answer.neighbors
        ],
        groups_searched=answer.groups_searched,
        shards_answered=answer.shards_answered,
        shards_total=answer.shards_total,
    )


def answer_of(message: messages.Answer) -> Answer:
    """Return the answer of a message."""
    return Answer(
        tuple(Neighbor(n.group, n.part, n.key, n.position, n.distance) for n in message.neighbors),
        message.groups_searched,
        message.shards_answered,
        message.shards_total,
    )


def stats_message(stats: ShardStats) -> messages.ShardStats:
    """Return the message of one shard's state."""
    return messages.ShardStats(
        shard=stats.shard,
        available=stats.available,
        spaces=stats.spaces,
        groups=stats.groups,
        records=stats.records,
        vectors=stats.vectors,
        log_bytes=stats.log_bytes,
        memory_bytes=stats.memory_bytes,
        last_sequence=stats.last_sequence,
    )


def stats_of(message: messages.ShardStats) -> ShardStats:
    """Return one shard's state of a message."""
    return ShardStats(
        message.shard,
        message.available,
        dict(message.spaces),
        message.groups,
        message.records,
        message.vectors,
        message.log_bytes,
        message.memory_bytes,
        message.last_sequence,
    )


def _part_message(part: ExamplePart) -> messages.ExamplePart:
    vectors = np.asarray(part.vectors)
    if vectors.ndim != 2:
        raise Rejected(f"vectors of an example have {vectors.ndim} dimensions, not 2")
    return messages.ExamplePart(vectors=_floats(vectors), dimension=vectors.shape[1], attributes=part.attributes)


def _part_of(message: messages.ExamplePart) -> ExamplePart:
    count = len(message.vectors) // max(4 * message.dimension, 1)
    return ExamplePart(_rows(message.vectors, count), dict(message.attributes))


def _filter_message(filter_: Filter) -> messages.Filter:
    return messages.Filter(
        conditions=[
            messages.Condition(attribute=c.attribute, operator=c.operator, values=c.values) for c in filter_.conditions
        ],
        groups=None if filter_.groups is None else messages.GroupSet(groups=sorted(filter_.groups)),
        excluded_groups=sorted(filter_.excluded_groups),
    )


def _filter_of(message: messages.Filter) -> Filter:
    return Filter(
        tuple(_condition_of(condition) for condition in message.conditions),
        frozenset(message.groups.groups) if message.HasField("groups") else None,
        frozenset(message.excluded_groups),
    )


def _condition_of(message: messages.Condition) -> Condition:
    for operator in _OPERATORS:
        if message.operator == operator:
            return Condition(message.attribute, operator, tuple(message.values))
    raise Rejected(f"unknown operator {message.operator!r} of a condition")


def _floats(vectors: Vectors) -> bytes:
    return np.ascontiguousarray(vectors, dtype=_LITTLE_ENDIAN).tobytes()


def _rows(data: bytes, count: int) -> Vectors:
    if not data or count == 0 or len(data) % (4 * count):
        raise Rejected(f"{len(data)} bytes are not {count} vectors of float32")
    return np.frombuffer(data, dtype=_LITTLE_ENDIAN).reshape(count, -1)
