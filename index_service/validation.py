"""What may be stored and asked: every wrong input is Rejected here, before anything is logged or searched. Pure."""

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np

from index_service.errors import Rejected
from index_service.port import Condition, ExamplePart, Query, Record, Vectors
from index_service.vector_space import VectorSpace

LONGEST_NAME_BYTES = 1024
MOST_ATTRIBUTES = 64
MOST_VECTORS_OF_A_RECORD = 65536
MOST_NEIGHBORS = 1000
LARGEST_DIMENSION = 16384

# Vectors this near to unit length are kept as they are, so that storing what was fetched changes no bit of it.
_UNIT_TOLERANCE = 1e-6


def check_space(space: VectorSpace) -> None:
    """Raise Rejected unless `space` can be created."""
    _check_name("name of a vector space", space.name)
    if space.metric != "cosine":
        raise Rejected(f"metric {space.metric!r} of a vector space is not 'cosine'")
    if not 1 <= space.dimension <= LARGEST_DIMENSION:
        raise Rejected(f"dimension {space.dimension} of a vector space is not 1 to {LARGEST_DIMENSION}")


def stored_form(record: Record, dimension: int) -> Record:
    """Return `record` with its vectors at unit length in float32, or raise Rejected."""
    _check_name("key", record.key)
    _check_name("group", record.group)
    _check_name("part", record.part)
    _check_attributes(record.attributes)
    if not 0 <= record.version < 2**63:
        raise Rejected(f"version {record.version} is not 0 to 2^63 - 1")
    if not math.isfinite(record.order):
        raise Rejected(f"order {record.order} is not finite")
    vectors = unit_length(record.vectors, dimension)
    if len(vectors) > MOST_VECTORS_OF_A_RECORD:
        raise Rejected(f"{len(vectors)} vectors in one record, at most {MOST_VECTORS_OF_A_RECORD}")
    _check_positions(record.positions, len(vectors))
    return replace(record, vectors=vectors)


def unit_length(vectors: Vectors, dimension: int) -> Vectors:
    """Return float32[n, d] of unit length; raise Rejected on a wrong shape, NaN, infinity or a zero vector."""
    array = np.asarray(vectors)
    if array.ndim != 2 or array.shape[0] == 0 or array.shape[1] != dimension:
        raise Rejected(f"vectors of shape {array.shape}, not (n, {dimension}) with n of at least 1")
    if array.dtype.kind != "f":
        raise Rejected(f"vectors of type {array.dtype}, not floats")
    wide = array.astype(np.float64)
    norms = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    if not np.isfinite(norms).all():
        raise Rejected("a vector holds NaN or infinity")
    if not norms.all():
        raise Rejected("a vector is zero")
    if array.dtype == np.float32 and np.abs(norms - 1).max() < _UNIT_TOLERANCE:
        return np.ascontiguousarray(array)
    unit: Vectors = (wide / norms[:, None]).astype(np.float32)
    return unit


def example_parts(query: Query, dimension: int) -> list[ExamplePart]:
    """Return the parts that a query by value holds, at unit length."""
    given = list(query.parts)
    if query.vectors is not None:
        given.append(ExamplePart(query.vectors, query.attributes))
    return [ExamplePart(unit_length(part.vectors, dimension), part.attributes) for part in given]


def check_query(query: Query) -> None:
    """Raise Rejected unless exactly one example is given, `k` is in bounds and the filter makes sense."""
    if (query.example is not None) + (query.vectors is not None) + bool(query.parts) != 1:
        raise Rejected("a query needs exactly one of example, vectors and parts")
    if not 1 <= query.k <= MOST_NEIGHBORS:
        raise Rejected(f"k of {query.k} is not 1 to {MOST_NEIGHBORS}")
    if query.level not in ("group", "part", "key"):
        raise Rejected(f"unknown level {query.level!r}")
    if query.minimum_score is not None and not math.isfinite(query.minimum_score):
        raise Rejected(f"minimum score {query.minimum_score} is not finite")
    for condition in query.filter.conditions:
        check_condition(condition)


def check_condition(condition: Condition) -> None:
    """Raise Rejected unless the operator is known and, for a range, has its two bounds."""
    if condition.operator not in ("in", "not_in", "range"):
        raise Rejected(f"unknown operator {condition.operator!r} of a condition")
    if condition.operator == "range" and len(condition.values) != 2:
        raise Rejected(f"a range of {len(condition.values)} values, not 2")


def _check_positions(positions: tuple[int, ...], count: int) -> None:
    if len(positions) != count:
        raise Rejected(f"{len(positions)} positions for {count} vectors")
    if any(later <= earlier for earlier, later in pairwise(positions)):
        raise Rejected("positions do not ascend")
    if not -(2**63) <= positions[0] <= positions[-1] < 2**63:
        raise Rejected("a position does not fit 64 bits")


def _check_attributes(attributes: Mapping[str, str]) -> None:
    if len(attributes) > MOST_ATTRIBUTES:
        raise Rejected(f"{len(attributes)} attributes, at most {MOST_ATTRIBUTES}")
    for name, value in attributes.items():
        _check_name("name of an attribute", name)
        _check_text(f"attribute {name}", value)


def _check_name(what: str, value: str) -> None:
    if not value:
        raise Rejected(f"{what} is empty")
    _check_text(what, value)


def _check_text(what: str, value: str) -> None:
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise Rejected(f"{what} is not text that UTF-8 can hold") from error
    if size > LONGEST_NAME_BYTES:
        raise Rejected(f"{what} has {size} bytes, at most {LONGEST_NAME_BYTES}")
