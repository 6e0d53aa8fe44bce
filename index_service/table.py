"""One vector space of one shard in memory: rows of vectors, records over rows, parts over records, groups over parts.

Rows and records are numbered by ordinals and only ever appended; what is replaced or deleted is marked dead until a
compaction makes a new table. Not safe for threads: the shard lets one writer or many readers in.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from index_service.columns import AttributeColumns, GrowingArray, Mask, Ordinals
from index_service.port import Example, Filter, Record, Vectors
from index_service.sampling import evenly

Identity = tuple[str, str]  # group, key


@dataclass(slots=True)
class Part:
    """The records of one part in their order, and the sum of their vectors."""

    ordinal: int
    group: str
    name: str
    total: NDArray[np.float64]
    records: list[tuple[float, str, int]] = field(default_factory=list)  # order, key, ordinal
    sample: Ordinals | None = None  # rows, forgotten when the part changes


@dataclass(slots=True)
class Group:
    """The parts of one group by name."""

    ordinal: int
    parts: dict[str, Part] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Image:
    """A table at one moment, for a snapshot: later changes do not show in it."""

    records: list[Record]
    first_rows: NDArray[np.int64]
    vectors: Vectors
    alive: Mask

    def batches(self, size: int) -> Iterator[tuple[Record, ...]]:
        """Yield the live records with their vectors, `size` at a time."""
        live = (self._record(ordinal) for ordinal in np.flatnonzero(self.alive).tolist())
        while batch := tuple(islice(live, size)):
            yield batch

    def _record(self, ordinal: int) -> Record:
        return _with_vectors(self.records[ordinal], self.vectors, int(self.first_rows[ordinal]))


class Table:
    """The records of one vector space."""

    def __init__(self, dimension: int, sample_vectors: int) -> None:
        self.dimension = dimension
        self._sample_vectors = sample_vectors
        self._vectors = GrowingArray(np.float32, dimension)
        self._record_of_row = GrowingArray(np.int64)
        self._records: list[Record] = []  # without their vectors
        self._alive = GrowingArray(np.bool_)
        self._first_rows = GrowingArray(np.int64)
        self._part_of_record = GrowingArray(np.int64)
        self._group_of_record = GrowingArray(np.int64)
        self._attributes = AttributeColumns()
        self._ordinals: dict[Identity, int] = {}
        self._parts: list[Part] = []
        self._means = GrowingArray(np.float32, dimension)
        self._group_of_part = GrowingArray(np.int64)
        self._groups: dict[str, Group] = {}
        self._group_names: list[str] = []
        self.live_rows = 0

    # --- changes -------------------------------------------------------------------------------------------------

    def upsert(self, records: Sequence[Record]) -> None:
        """Store records of unit length; one of a lower version than the stored one, or equal to it, changes nothing."""
        changed: dict[Identity, Record] = {}
        for record in records:
            identity = (record.group, record.key)
            earlier = changed.get(identity)
            if self.changes(record) if earlier is None else record.version >= earlier.version:
                changed[identity] = record
        self._kill(identity for identity in changed if identity in self._ordinals)
        if changed:
            self._append(list(changed.values()))

    def changes(self, record: Record) -> bool:
        """Return whether storing `record` would change anything."""
        ordinal = self._ordinals.get((record.group, record.key))
        if ordinal is None:
            return True
        stored = self._records[ordinal]
        if record.version != stored.version:
            return record.version > stored.version
        return not (
            (record.part, record.order, record.positions) == (stored.part, stored.order, stored.positions)
            and dict(record.attributes) == stored.attributes
            and np.array_equal(record.vectors, self._with_vectors(ordinal).vectors)
        )

    def remove(self, identities: Iterable[Identity], groups: Iterable[str]) -> int:
        """Remove records and whole groups; return how many records went."""
        doomed = {identity for identity in identities if identity in self._ordinals}
        for group in groups:
            doomed.update((group, key) for part in self._parts_of(group) for _, key, _ in part.records)
        self._kill(doomed)
        return len(doomed)

    def _append(self, records: Sequence[Record]) -> None:
        first, first_row = len(self._records), len(self._vectors)
        counts = [len(record.positions) for record in records]
        parts = [self._part(record.group, record.part) for record in records]
        self._vectors.extend(np.concatenate([record.vectors for record in records]))
        self._record_of_row.extend(np.repeat(np.arange(first, first + len(records)), counts))
        self._first_rows.extend(first_row + np.cumsum(counts) - counts)
        self._alive.extend(np.ones(len(records), np.bool_))
        self._part_of_record.extend([part.ordinal for part in parts])
        self._group_of_record.extend([self._groups[record.group].ordinal for record in records])
        self._attributes.extend([record.attributes for record in records])
        for ordinal, (record, part) in enumerate(zip(records, parts, strict=True), first):
            self._records.append(_without_vectors(record))
            self._ordinals[record.group, record.key] = ordinal
            insort(part.records, (record.order, record.key, ordinal))
            part.total += record.vectors.sum(axis=0, dtype=np.float64)
        self.live_rows += sum(counts)
        self._refresh(parts)

    def _kill(self, identities: Iterable[Identity]) -> None:
        touched = []
        for identity in identities:
            ordinal = self._ordinals.pop(identity)
            record = self._with_vectors(ordinal)
            part = self._parts[self._part_of_record.view[ordinal]]
            del part.records[bisect_left(part.records, (record.order, record.key, ordinal))]
            part.total -= record.vectors.sum(axis=0, dtype=np.float64)
            self._alive.view[ordinal] = False
            self.live_rows -= len(record.positions)
            touched.append(part)
        self._refresh(touched)

    def _refresh(self, parts: Iterable[Part]) -> None:
        """Bring what is derived from the records of changed parts up to date; forget parts and groups left empty."""
        for part in {part.ordinal: part for part in parts}.values():
            part.sample = None
            self._means.view[part.ordinal] = _direction(part.total)
            if not part.records:
                self._forget(part)

    def _forget(self, part: Part) -> None:
        group = self._groups[part.group]
        del group.parts[part.name]
        if not group.parts:
            del self._groups[part.group]

    def _part(self, group_name: str, name: str) -> Part:
        group = self._groups.get(group_name)
        if group is None:
            group = self._groups[group_name] = Group(len(self._group_names))
            self._group_names.append(group_name)
        part = group.parts.get(name)
        if part is None:
            part = group.parts[name] = Part(len(self._parts), group_name, name, np.zeros(self.dimension))
            self._parts.append(part)
            self._means.extend(np.zeros((1, self.dimension), np.float32))
            self._group_of_part.extend([group.ordinal])
        return part

    def compacted(self) -> "Table":
        """Return a table of the live records only, in the same order."""
        table = Table(self.dimension, self._sample_vectors)
        for batch in self.image().batches(4096):
            table._append(batch)
        return table

    # --- what is there ---------------------------------------------------------------------------------------------

    def fetch(self, example: Example) -> list[Record]:
        """Return the records of an example with copies of their vectors, by part, order and key."""
        parts = sorted(self._parts_of(example.group), key=lambda part: part.name)
        ordinals = [
            ordinal
            for part in parts
            if example.part in (None, part.name)
            for _, key, ordinal in part.records
            if example.key in (None, key)
        ]
        records = [_at_position(self._with_vectors(ordinal), example.position) for ordinal in ordinals]
        return [record for record in records if record is not None]

    def image(self) -> Image:
        """Return what is live now, unaffected by later changes."""
        return Image(list(self._records), self._first_rows.view, self._vectors.view, self._alive.view.copy())

    @property
    def group_count(self) -> int:
        """Number of groups."""
        return len(self._groups)

    @property
    def record_count(self) -> int:
        """Number of records."""
        return len(self._ordinals)

    @property
    def row_count(self) -> int:
        """Number of rows, dead ones included."""
        return len(self._vectors)

    @property
    def memory_bytes(self) -> int:
        """Memory held by the arrays."""
        arrays = (self._vectors, self._record_of_row, self._alive, self._first_rows, self._part_of_record)
        more = (self._group_of_record, self._means, self._group_of_part, self._attributes)
        return sum(array.size_bytes for array in (*arrays, *more))

    # --- for the search --------------------------------------------------------------------------------------------

    @property
    def vectors(self) -> Vectors:
        """All rows, dead ones included: float32[row_count, dimension]."""
        return self._vectors.view

    @property
    def means(self) -> Vectors:
        """The direction of the mean of each part, by ordinal: float32[parts, dimension]; zero where there is none."""
        return self._means.view

    @property
    def record_of_row(self) -> Ordinals:
        """The record of each row."""
        return self._record_of_row.view

    @property
    def part_of_record(self) -> Ordinals:
        """The part of each record."""
        return self._part_of_record.view

    @property
    def group_of_record(self) -> Ordinals:
        """The group of each record."""
        return self._group_of_record.view

    @property
    def group_of_part(self) -> Ordinals:
        """The group of each part."""
        return self._group_of_part.view

    def selected(self, filter_: Filter) -> Mask:
        """Return which records live and satisfy a filter: bool[records], a copy."""
        mask = self._alive.view.copy()
        for condition in filter_.conditions:
            mask &= self._attributes.matching(condition)
        if filter_.groups is not None:
            mask &= self._in_groups(filter_.groups)
        if filter_.excluded_groups:
            mask &= ~self._in_groups(filter_.excluded_groups)
        return mask

    def having(self, values: Iterable[tuple[str, str | None]]) -> Mask:
        """Return which records have exactly these attributes and values; None stands for not having it."""
        mask = np.ones(len(self._records), np.bool_)
        for name, value in values:
            mask &= self._attributes.equal(name, value)
        return mask

    def parts_of_group(self, ordinal: int) -> list[Part]:
        """Return the parts of a group, by name."""
        return sorted(self._parts_of(self._group_names[ordinal]), key=lambda part: part.name)

    def part(self, ordinal: int) -> Part:
        """Return a part."""
        return self._parts[ordinal]

    def record(self, ordinal: int) -> Record:
        """Return a record without its vectors."""
        return self._records[ordinal]

    def position(self, row: int) -> int:
        """Return the position a row has in its record."""
        ordinal = int(self._record_of_row.view[row])
        return self._records[ordinal].positions[row - int(self._first_rows.view[ordinal])]

    def sample_of_part(self, part: Part, allowed: Mask) -> Ordinals:
        """Return the rows that stand for a part in a comparison: evenly taken from its records that `allowed` marks."""
        ordinals = [ordinal for _, _, ordinal in part.records]
        kept = np.asarray(ordinals)[allowed[ordinals]]
        if len(kept) < len(ordinals):
            return self.sample_of_records(kept)
        if part.sample is None:
            part.sample = self.sample_of_records(kept)
        return part.sample

    def sample_of_records(self, ordinals: Ordinals) -> Ordinals:
        """Return the rows evenly taken from records in this order."""
        if not len(ordinals):
            return np.empty(0, np.int64)
        first = self._first_rows.view[ordinals]
        counts = np.array([len(self._records[ordinal].positions) for ordinal in ordinals.tolist()])
        ends = np.cumsum(counts)
        picks = evenly(int(ends[-1]), self._sample_vectors)
        owner = np.searchsorted(ends, picks, side="right")
        rows: Ordinals = first[owner] + picks - (ends - counts)[owner]
        return rows

    def _in_groups(self, names: Iterable[str]) -> Mask:
        wanted = np.zeros(len(self._group_names), np.bool_)
        wanted[[self._groups[name].ordinal for name in names if name in self._groups]] = True
        return wanted[self._group_of_record.view]

    def _parts_of(self, group: str) -> list[Part]:
        found = self._groups.get(group)
        return [] if found is None else list(found.parts.values())

    def _with_vectors(self, ordinal: int) -> Record:
        return _with_vectors(self._records[ordinal], self._vectors.view, int(self._first_rows.view[ordinal]))


_NO_VECTORS = np.empty((0, 0), np.float32)


def _without_vectors(record: Record) -> Record:
    return replace(record, vectors=_NO_VECTORS, attributes=dict(record.attributes))


def _with_vectors(record: Record, vectors: Vectors, first_row: int) -> Record:
    return replace(record, vectors=vectors[first_row : first_row + len(record.positions)].copy())


def _at_position(record: Record, position: int | None) -> Record | None:
    if position is None:
        return record
    if position not in record.positions:
        return None
    at = record.positions.index(position)
    return replace(record, vectors=record.vectors[at : at + 1], positions=(position,))


def _direction(total: NDArray[np.float64]) -> NDArray[np.float64]:
    norm = float(np.sqrt(total @ total))
    return total / norm if norm > 1e-9 else np.zeros_like(total)
