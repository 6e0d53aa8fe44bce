"""Arrays that grow at their end, and the attribute columns that filters turn into masks. Used by `table`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from index_service.port import Condition

Mask = NDArray[np.bool_]
Ordinals = NDArray[np.int64]

_Scalar = TypeVar("_Scalar", bound=np.generic)
_SMALLEST_CAPACITY = 64


class GrowingArray(Generic[_Scalar]):
    """An array that grows at its end in amortised constant time a row.

    Rows stay where they are; when the buffer is full they are copied to one twice as large, so that a view taken
    earlier keeps showing what it showed.
    """

    def __init__(self, dtype: type[_Scalar], width: int | None = None) -> None:
        self._shape = () if width is None else (width,)
        self._buffer: NDArray[_Scalar] = np.empty((_SMALLEST_CAPACITY, *self._shape), dtype)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def view(self) -> NDArray[_Scalar]:
        """The rows, not copied."""
        return self._buffer[: self._count]

    @property
    def size_bytes(self) -> int:
        """Memory held, spare room included."""
        return self._buffer.nbytes

    def extend(self, values: ArrayLike) -> None:
        """Append rows."""
        rows = np.asarray(values, self._buffer.dtype)
        count = self._count + len(rows)
        if count > len(self._buffer):
            self._grow(count)
        self._buffer[self._count : count] = rows
        self._count = count

    def _grow(self, count: int) -> None:
        larger = np.empty((max(count, 2 * len(self._buffer)), *self._shape), self._buffer.dtype)
        larger[: self._count] = self.view
        self._buffer = larger


class AttributeColumn:
    """One attribute of all records: a code a record, 0 where the record has no such attribute."""

    def __init__(self, count: int) -> None:
        self._codes = GrowingArray(np.int32)
        self._codes.extend(np.zeros(count, np.int32))
        self._code_of: dict[str, int] = {}

    def extend(self, values: Iterable[str | None]) -> None:
        """Append one value a record."""
        self._codes.extend([0 if value is None else self._coded(value) for value in values])

    def _coded(self, value: str) -> int:
        return self._code_of.setdefault(value, len(self._code_of) + 1)

    def among(self, values: Iterable[str]) -> Mask:
        """Return which records have one of `values`."""
        return self._with_codes(self._code_of.get(value, 0) for value in values)

    def between(self, first: str, last: str) -> Mask:
        """Return which records have a value from `first` to `last`, compared as text; an empty bound is open."""
        return self._with_codes(
            code for value, code in self._code_of.items() if first <= value and (not last or value <= last)
        )

    def _with_codes(self, codes: Iterable[int]) -> Mask:
        wanted = np.zeros(len(self._code_of) + 1, np.bool_)
        wanted[list(codes)] = True
        wanted[0] = False
        return wanted[self._codes.view]

    def absent(self) -> Mask:
        """Return which records lack the attribute."""
        absent: Mask = self._codes.view == 0
        return absent

    @property
    def size_bytes(self) -> int:
        """Memory held by the codes."""
        return self._codes.size_bytes


class AttributeColumns:
    """The attributes of all records, by ordinal of the record."""

    def __init__(self) -> None:
        self._columns: dict[str, AttributeColumn] = {}
        self._count = 0

    def extend(self, attributes: Sequence[Mapping[str, str]]) -> None:
        """Append records."""
        for name in {name for each in attributes for name in each} - self._columns.keys():
            self._columns[name] = AttributeColumn(self._count)
        for name, column in self._columns.items():
            column.extend(each.get(name) for each in attributes)
        self._count += len(attributes)

    def matching(self, condition: Condition) -> Mask:
        """Return which records satisfy a condition."""
        column = self._columns.get(condition.attribute)
        if column is None:
            return np.full(self._count, condition.operator == "not_in")
        if condition.operator == "range":
            return column.between(condition.values[0], condition.values[1])
        among = column.among(condition.values)
        return ~among if condition.operator == "not_in" else among

    def equal(self, attribute: str, value: str | None) -> Mask:
        """Return which records have exactly `value`; None: which lack the attribute."""
        column = self._columns.get(attribute)
        if column is None:
            return np.full(self._count, value is None)
        return column.absent() if value is None else column.among((value,))

    @property
    def size_bytes(self) -> int:
        """Memory held by all columns."""
        return sum(column.size_bytes for column in self._columns.values())
