"""Lookup tables of a data set: Modality LUT, VOI LUT and the three of a palette (PS3.3 C.11.1, C.11.2, C.7.6.3.1.5).

Called by `grey`, `units` and `tone`. Values below the first mapped one take the first entry, above the last the last.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LookupTable:
    """`entries` are float32[n]; `first` is the stored value that entry 0 is for."""

    first: int
    entries: Floats

    def apply(self, values: NDArray[Any]) -> Floats:
        """Map each value; fractions are rounded to the nearest entry."""
        index = np.rint(np.nan_to_num(values.astype(np.float32, copy=False))) - np.float32(self.first)
        return np.take(self.entries, np.clip(index, 0, len(self.entries) - 1).astype(np.intp))


def table_of_item(item: Dataset, signed: bool) -> LookupTable | None:
    """Read LUT Descriptor and LUT Data of a LUT sequence's item; None when they do not hold a table."""
    descriptor, data = item.get("LUTDescriptor"), item.get("LUTData")
    return _table(descriptor, data, signed)


def palette_channel(header: Dataset, colour: str) -> LookupTable | None:
    """Read the palette of "Red", "Green" or "Blue", plain or segmented, with entries scaled to 0..1."""
    descriptor = header.get(f"{colour}PaletteColorLookupTableDescriptor")
    plain = header.get(f"{colour}PaletteColorLookupTableData")
    segmented = header.get(f"Segmented{colour}PaletteColorLookupTableData")
    order = "<" if header.original_encoding[1] in (True, None) else ">"
    data = _words(plain, _length(descriptor), order) if plain else _expand(segmented, descriptor, order)
    table = _table(descriptor, data, signed=False)
    if table is None:
        return None
    return LookupTable(table.first, table.entries / np.float32(_full_scale(table.entries)))


def _full_scale(entries: Floats) -> float:
    # Eight-bit palettes are met with a descriptor that says 16; the entries themselves do not lie.
    return 255.0 if entries.max() < 256 else 65535.0


def _length(descriptor: Any) -> int:
    """Return the number of entries; 0 stands for 65536."""
    return (int(descriptor[0]) & 0xFFFF or 65536) if descriptor is not None and len(descriptor) == 3 else 0


def _table(descriptor: Any, data: Any, signed: bool) -> LookupTable | None:
    length = _length(descriptor)
    if not length or data is None:
        return None
    words = _words(data, length)
    if not words.size:
        return None
    first = int(descriptor[1])
    return LookupTable(first - 0x10000 if signed and first >= 0x8000 else first, words.astype(np.float32))


def _words(data: Any, length: int, order: str = "<") -> NDArray[Any]:
    """Return the entries, whether they came as bytes of 8 or 16 bits or as numbers."""
    if isinstance(data, (bytes, bytearray)):
        dtype = np.dtype(np.uint8 if len(data) < 2 * length else f"{order}u2")
        return np.frombuffer(data, dtype, len(data) // dtype.itemsize)[:length]
    return np.atleast_1d(np.asarray(data, np.int64))[:length]


def _expand(segmented: Any, descriptor: Any, order: str) -> NDArray[Any] | None:
    """Expand a segmented palette (PS3.3 C.7.9.2): discrete (0), linear (1) and indirect (2) segments."""
    if not segmented or not _length(descriptor):
        return None
    wide = int(descriptor[2]) > 8
    words = [int(word) for word in _words(segmented, len(segmented) // 2 if wide else len(segmented), order)]
    out: list[int] = []
    _expand_run(words, 0, len(words), out, _length(descriptor), wide)
    return np.asarray(out)


def _expand_run(words: list[int], at: int, segments: int, out: list[int], length: int, wide: bool) -> None:
    """Append what up to `segments` segments from `at` hold; stops at `length` entries or at the first odd one."""
    for _ in range(segments):
        if at + 2 >= len(words) or len(out) >= length:
            return
        opcode, count = words[at], words[at + 1]
        if opcode == 0:
            out += words[at + 2 : at + 2 + count]
            at += 2 + count
        elif opcode == 1 and out:
            out += np.linspace(out[-1], words[at + 2], count + 1)[1:].round().astype(int).tolist()
            at += 3
        elif opcode == 2 and wide and at + 3 < len(words):
            # The offset counts bytes, and points back; what it points at holds no further indirect segment.
            target = (words[at + 2] | words[at + 3] << 16) // 2
            if target < at:
                _expand_run(words, target, count, out, length, wide=False)
            at += 4
        else:
            return
