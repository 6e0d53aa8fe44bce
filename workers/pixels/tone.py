"""Values → grey in 0..1 by the modality's rule, from the values themselves and never from a VOI window.

Called by `reader` with all sampled frames of an instance, so that frames of one instance stay comparable. A rule is
a pure function from values and their valid mask to a function on values; constants are part of the preprocessing
version. Curves in absolute units (HU, SUV) make the same tissue the same grey on every scanner.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.pixels.lookup import LookupTable

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
Curve = Callable[[Floats], Floats]

# Monotone, with the slope where the anatomy is: a third of the range for lung and fat's lower flank, two fifths for
# -160..240 HU (soft tissue), the rest for bone, so that the three stay apart in one channel.
_HU = np.array([-1024.0, -950.0, -500.0, -160.0, 240.0, 1000.0, 3000.0])
_HU_GREY = np.array([0.0, 0.04, 0.22, 0.34, 0.76, 0.93, 1.0])
# The curve at each whole HU from -1024 to 3000: looking up is several times faster than interpolating.
_HU_TABLE = LookupTable(-1024, np.interp(np.arange(-1024, 3001), _HU, _HU_GREY).astype(np.float32))
_SUV_WHITE = 20.0
_LOW, _HIGH = 0.5, 99.5
# The foreground of MR and of counts: above this share of the brightest percentile; air and noise are below it.
_FOREGROUND = 0.1


@dataclass(frozen=True, slots=True)
class Values:
    """One frame in its unit, float32[h, w], and which of its pixels are valid (not padding, finite)."""

    pixels: Floats
    valid: Mask


def hounsfield_curve(_: Sequence[Values]) -> Curve:
    """HU, rounded, through the fixed curve."""
    return _HU_TABLE.apply


def suv_curve(_: Sequence[Values]) -> Curve:
    """Root of SUVbw, white at 20: background, liver and lesion keep steps between them."""
    return lambda pixels: np.sqrt(np.clip(pixels / np.float32(_SUV_WHITE), 0.0, 1.0))


def percentile_curve(frames: Sequence[Values]) -> Curve:
    """0.5 to 99.5 percentile of the valid pixels."""
    return _linear(*_percentiles(_valid_pixels(frames)))


def foreground_curve(frames: Sequence[Values]) -> Curve:
    """0.5 to 99.5 percentile of the foreground: values above a tenth of the brightest ones.

    Where the foreground is all alike (a mask, a phantom), of everything.
    """
    pixels = _valid_pixels(frames)
    low, high = _percentiles(_foreground(pixels))
    return _linear(low, high) if high > low else percentile_curve(frames)


def root_curve(frames: Sequence[Values]) -> Curve:
    """Root of the counts, white at the 99.5 percentile of the foreground."""
    white = _percentiles(_foreground(_valid_pixels(frames)))[1]
    linear = _linear(0.0, white)
    return lambda pixels: np.sqrt(linear(pixels))


def unit_curve(_: Sequence[Values]) -> Curve:
    """Values that are a display scale of 0..1 already."""
    return lambda pixels: np.clip(pixels, 0.0, 1.0)


def table_curve(table: LookupTable) -> Callable[[Sequence[Values]], Curve]:
    """Return the rule of a VOI LUT: its entries, from the least to the greatest."""
    scaled = _linear(float(table.entries.min()), float(table.entries.max()))
    return lambda _: lambda pixels: scaled(table.apply(pixels))


def _linear(low: float, high: float) -> Curve:
    span = np.float32(high - low)
    if not span > 0:
        return np.zeros_like
    return lambda pixels: np.clip((pixels - np.float32(low)) / span, 0.0, 1.0)


def _valid_pixels(frames: Sequence[Values]) -> Floats:
    return np.concatenate([frame.pixels[frame.valid] for frame in frames])


def _percentiles(pixels: Floats) -> tuple[float, float]:
    if not pixels.size:
        return 0.0, 0.0
    low, high = (float(value) for value in np.percentile(pixels, [_LOW, _HIGH]))
    # Nearly all pixels alike: what little stands out decides.
    return (low, high) if high > low else (float(pixels.min()), float(pixels.max()))


def _foreground(pixels: Floats) -> Floats:
    if not pixels.size or pixels.min() < 0:
        return pixels  # phase, or differences: zero is no background
    foreground = pixels[pixels > _FOREGROUND * float(np.percentile(pixels, 99.0))]
    return foreground if foreground.size else pixels
