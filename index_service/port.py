"""What one may ask of the index: the types of the questions and answers, and the port that answers them.

The in-process shard, the router over many shards and the network client all implement `VectorIndex`, so a caller
cannot tell, and need not know, how many processes stand behind it. A *record* is one key with one or more vectors
(an instance with its frames); a *part* is a subdivision of a group (a series of a study); a *group* is the unit of
sharding, so all vectors of a group are on one shard. Order is total and stable: score falling, then group, part, key.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from index_service.vector_space import VectorSpace

Vectors = NDArray[np.float32]
Level = Literal["group", "part", "key"]


@dataclass(frozen=True, slots=True)
class Record:
    """One key with its vectors.

    `vectors` is float32[n, d], n >= 1, finite, non-zero (stored at unit length); `positions` are n ascending ints that
    the caller understands (frame numbers, from 1); `order` sorts records within a part (for even sampling).
    A record of a lower `version` than the stored one is ignored; the same version and content again changes nothing.
    """

    key: str
    group: str
    part: str
    vectors: Vectors
    positions: tuple[int, ...]
    version: int = 1
    order: float = 0.0
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Condition:
    """One filter on an attribute. `in`/`not_in`: equals one of `values`; `range`: first <= value <= last as text.

    In a range an empty bound is open. A record without the attribute satisfies only `not_in`.
    """

    attribute: str
    operator: Literal["in", "not_in", "range"]
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which records match: all `conditions` hold, the group is in `groups` (None: any), not in `excluded_groups`."""

    conditions: tuple[Condition, ...] = ()
    groups: frozenset[str] | None = None
    excluded_groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Example:
    """Stored vectors to search with: a whole group, or one part, record or position of it."""

    group: str
    part: str | None = None
    key: str | None = None
    position: int | None = None


@dataclass(frozen=True, slots=True)
class ExamplePart:
    """One part of an example by value: its vectors, float32[n, d] in their order, and its attributes."""

    vectors: Vectors
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked: exactly one of `example`, `vectors` (float32[n, d], taken as one part) and `parts` is given.

    `comparable` names attributes that must be equal between a part of the example and the part it is compared with
    (a CT series is compared with CT series only); what has nothing comparable is no neighbor. `level` says what a
    neighbor is; `k` how many at most (1 to 1000). `exact` compares with every candidate instead of the most promising.
    """

    space: str
    k: int
    example: Example | None = None
    vectors: Vectors | None = None
    parts: tuple[ExamplePart, ...] = ()
    level: Level = "group"
    filter: Filter = Filter()
    comparable: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)  # of `vectors`, for `comparable`
    minimum_score: float | None = None
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Neighbor:
    """A hit. `distance` is 1 - cosine similarity of the ranking (0 to 2, lower is nearer).

    `part`, `key`, `position` say where the best matching vector of the hit lies.
    """

    group: str
    part: str
    key: str
    position: int
    distance: float


@dataclass(frozen=True, slots=True)
class Answer:
    """Neighbors, nearest first, and how complete the search was."""

    neighbors: tuple[Neighbor, ...]
    groups_searched: int
    shards_answered: int
    shards_total: int

    @property
    def partial(self) -> bool:
        """True when some shard did not answer: neighbors may be missing."""
        return self.shards_answered < self.shards_total


@dataclass(frozen=True, slots=True)
class ShardStats:
    """One shard's state. A shard that does not answer has `available` False and zeros."""

    shard: int
    available: bool
    spaces: Mapping[str, int] = field(default_factory=dict)  # vectors by space
    groups: int = 0
    records: int = 0
    vectors: int = 0
    log_bytes: int = 0
    memory_bytes: int = 0
    last_sequence: int = 0


class VectorIndex(Protocol):
    """The port. Every method raises Rejected, Unavailable or Corrupt of `index_service.errors`."""

    def create_space(self, space: VectorSpace) -> None:
        """Make `space` known, durably; again with the same definition is a no-op, with another one is Rejected."""

    def spaces(self) -> list[VectorSpace]:
        """List the known spaces by name."""

    def upsert(self, space: str, records: Sequence[Record]) -> None:
        """Store records, durably, each atomically; returns after the sync. Visible to any search that starts later."""

    def delete(self, space: str, keys: Mapping[str, str] | None = None, groups: Sequence[str] = ()) -> int:
        """Delete records (`keys` maps key to its group) and whole groups, durably; return how many records went."""

    def search(self, query: Query) -> Answer:
        """Find the k nearest. Rejected when the space is unknown or the example has no vectors, see `fetch`."""

    def fetch(self, space: str, example: Example) -> list[Record]:
        """Return the stored records of an example, by part, order and key; empty when there is none."""

    def stats(self) -> list[ShardStats]:
        """Describe every shard of the service, by number."""

    def close(self) -> None:
        """Release connections and files; what was acknowledged is already durable."""
