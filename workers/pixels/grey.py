"""Stored samples → one grey channel: palettes looked up, colour turned to luma, monochrome left as it is.

Called by `reader` before anything is averaged, since palette indices cannot be.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from workers.errors import Rejected
from workers.pixels.lookup import LookupTable, palette_channel

Floats = NDArray[np.float32]
# ITU-R BT.601, the weights of YBR_FULL's own luma (PS3.3 C.7.6.3.1.2), so that both ways agree.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_LUMA_FIRST = ("YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_PARTIAL_422")


def luma_of_colour(samples: NDArray[Any], photometric: str, gives_rgb: bool, bits_stored: int) -> Floats:
    """Return float32[rows, columns] in 0..1 of colour samples [rows, columns, 3 or 4]; a fourth one is dropped."""
    full = np.float32(2**bits_stored - 1)
    if photometric in _LUMA_FIRST and not gives_rgb:
        return samples[..., 0].astype(np.float32) / full
    luma = np.zeros(samples.shape[:2], np.float32)
    for channel, weight in enumerate(_LUMA):
        luma += samples[..., channel] * (weight / full)
    return luma


def luma_of_palette(header: Dataset) -> LookupTable:
    """Return the palette as a table from index to luma in 0..1. Raises Rejected(unreadable) when it is not there."""
    channels = [palette_channel(header, colour) for colour in ("Red", "Green", "Blue")]
    if any(channel is None for channel in channels):
        raise Rejected("unreadable", "read the palette: a lookup table is missing")
    tables = [channel for channel in channels if channel is not None]
    length = min(len(table.entries) for table in tables)
    luma = sum(weight * table.entries[:length] for weight, table in zip(_LUMA, tables, strict=True))
    return LookupTable(tables[0].first, np.asarray(luma, np.float32))
