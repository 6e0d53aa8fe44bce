"""The three changes a shard can undergo, and their bytes in the log and the snapshot.

Applying the same operations in the same order to an empty shard gives the same shard: recovery rests on that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from index_service import messages_pb2 as messages
from index_service import wire
from index_service.errors import Corrupt, Rejected
from index_service.port import Record
from index_service.vector_space import VectorSpace

# The operation byte of an entry. Numbers are never reused.
CREATE_SPACE, UPSERT, DELETE = 1, 2, 3


@dataclass(frozen=True, slots=True)
class CreateSpace:
    """Make a vector space known."""

    space: VectorSpace


@dataclass(frozen=True, slots=True)
class Upsert:
    """Store records whose vectors are float32 of unit length."""

    space: str
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove records (`keys` maps key to group) and whole groups."""

    space: str
    keys: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ()


Operation = CreateSpace | Upsert | Delete


def encode(operation: Operation) -> tuple[int, bytes]:
    """Return the operation byte and the payload."""
    match operation:
        case CreateSpace(space):
            return CREATE_SPACE, wire.space_message(space).SerializeToString()
        case Upsert(name, records):
            return UPSERT, wire.upsert_message(name, records).SerializeToString()
        case Delete(name, keys, groups):
            return DELETE, wire.delete_message(name, keys, groups).SerializeToString()


def decode(kind: int, payload: bytes) -> Operation:
    """Return the operation of an entry; raise Corrupt when the bytes, though intact, are none."""
    try:
        return _decode(kind, payload)
    except (DecodeError, Rejected) as error:
        raise Corrupt(f"an entry of kind {kind} does not hold an operation") from error


def _decode(kind: int, payload: bytes) -> Operation:
    if kind == CREATE_SPACE:
        return CreateSpace(wire.space_of(messages.Space.FromString(payload)))
    if kind == UPSERT:
        space, records = wire.upsert_of(messages.UpsertRequest.FromString(payload))
        return Upsert(space, tuple(records))
    if kind == DELETE:
        return Delete(*wire.delete_of(messages.DeleteRequest.FromString(payload)))
    raise Rejected(f"unknown kind of operation {kind}")
