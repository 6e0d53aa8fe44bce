"""Everything a shard knows, and the one way it changes: by operations, in the order of the log.

No files, no threads: the shard brings both.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from index_service.errors import Rejected
from index_service.operations import CreateSpace, Delete, Operation, Upsert
from index_service.port import Example, Record
from index_service.table import Image, Table
from index_service.validation import check_space
from index_service.vector_space import VectorSpace

# Records of one entry of a snapshot.
_BATCH_RECORDS = 1024
# Below this many rows compacting gains nothing worth the pause.
_COMPACT_MIN_ROWS = 4096


@dataclass(frozen=True, slots=True)
class StateImage:
    """The state after operation `sequence`, unaffected by later ones."""

    sequence: int
    tables: list[tuple[VectorSpace, Image]]

    def operations(self) -> Iterator[Operation]:
        """Yield operations that make this state from nothing."""
        for space, image in self.tables:
            yield CreateSpace(space)
            for records in image.batches(_BATCH_RECORDS):
                yield Upsert(space.name, records)


class State:
    """The spaces of a shard and their tables. Not safe for threads."""

    def __init__(self, sample_vectors: int, compact_dead_fraction: float) -> None:
        self._sample_vectors = sample_vectors
        self._compact_dead_fraction = compact_dead_fraction
        self.spaces: dict[str, VectorSpace] = {}
        self.tables: dict[str, Table] = {}
        self.sequence = 0

    def apply(self, operation: Operation) -> int:
        """Apply the next operation; return how many records a delete removed, else 0."""
        self.sequence += 1
        match operation:
            case CreateSpace(space):
                self._create(space)
                return 0
            case Upsert(name, records):
                self.table(name).upsert(records)
                self._compact(name)
                return 0
            case Delete(name, keys, groups):
                removed = self.table(name).remove(((group, key) for key, group in keys.items()), groups)
                self._compact(name)
                return removed

    def table(self, space: str) -> Table:
        """Return the table of a space; raise Rejected when it is unknown."""
        try:
            return self.tables[space]
        except KeyError:
            raise Rejected(f"vector space {space!r} is unknown") from None

    def space(self, name: str) -> VectorSpace:
        """Return the definition of a space; raise Rejected when it is unknown."""
        self.table(name)
        return self.spaces[name]

    def is_new(self, space: VectorSpace) -> bool:
        """Return whether `space` has to be created; raise Rejected when it is wrong or its name means another one."""
        check_space(space)
        known = self.spaces.get(space.name)
        if known is not None and known != space:
            raise Rejected(f"vector space {space.name!r} exists with another definition")
        return known is None

    def fetch(self, space: str, example: Example) -> list[Record]:
        """Return the records of an example."""
        return self.table(space).fetch(example)

    def image(self) -> StateImage:
        """Return what is known now, for a snapshot."""
        return StateImage(self.sequence, [(space, self.tables[name].image()) for name, space in self.spaces.items()])

    def _create(self, space: VectorSpace) -> None:
        if self.is_new(space):
            self.spaces[space.name] = space
            self.tables[space.name] = Table(space.dimension, self._sample_vectors)

    def _compact(self, name: str) -> None:
        table = self.tables[name]
        dead = table.row_count - table.live_rows
        if table.row_count >= _COMPACT_MIN_ROWS and dead > self._compact_dead_fraction * table.row_count:
            self.tables[name] = table.compacted()
