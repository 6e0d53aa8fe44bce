"""What the header claims about the pixels, checked against the pixel budget before anything is allocated.

Called by `stored`. Headers lie: six hundred bytes can ask for terabytes, so every number is bounded here, and the
number of frames is only ever a claim that `stored` holds against the bytes that are there.
"""

from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset

from workers.errors import Rejected

# 64 Mi pixels: the largest mammograms have 30, and one frame as floats then stays at a quarter of the child's memory.
MAXIMUM_FRAME_PIXELS = 64 << 20
_FLOAT_BITS = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}
_INTEGER_BITS = (1, 8, 16, 32, 64)


@dataclass(frozen=True, slots=True)
class PixelDescription:
    """The Image Pixel module of one instance, as claimed. `padding` is the range of padded stored values, if any."""

    rows: int
    columns: int
    samples: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    planar: bool
    floating: bool
    number_of_frames: int
    padding: tuple[float, float] | None = None

    @property
    def stored_samples(self) -> float:
        """Samples per pixel as native bytes hold them: 4:2:2 shares its chroma between two pixels."""
        return 2.0 if self.photometric == "YBR_FULL_422" else float(self.samples)

    @property
    def frame_bits(self) -> int:
        """Bits of one native frame."""
        return int(self.rows * self.columns * self.stored_samples) * self.bits_allocated


def describe_pixels(header: Dataset, keyword: str) -> PixelDescription:
    """Read the Image Pixel module; missing optional values get what the rest implies.

    Raises Rejected(unreadable) when it describes no frame, Rejected(too_large) when a frame is over the budget.
    """
    rows, columns = _integer(header, "Rows", 0), _integer(header, "Columns", 0)
    samples = _integer(header, "SamplesPerPixel", 1)
    allocated = _FLOAT_BITS.get(keyword) or _integer(header, "BitsAllocated", 0)
    stored = allocated if keyword in _FLOAT_BITS else _integer(header, "BitsStored", allocated)
    _check_shape(rows, columns, samples)
    _check_bits(allocated, stored)
    signed = _integer(header, "PixelRepresentation", 0) == 1
    return PixelDescription(
        rows=rows,
        columns=columns,
        samples=samples,
        photometric=_photometric(header, samples),
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=min(_integer(header, "HighBit", stored - 1), allocated - 1),
        signed=signed,
        planar=_integer(header, "PlanarConfiguration", 0) == 1,
        floating=keyword in _FLOAT_BITS,
        number_of_frames=max(1, _integer(header, "NumberOfFrames", 1)),
        padding=_padding(header, signed, allocated, stored),
    )


def check_frame_pixels(rows: int, columns: int) -> None:
    """Raise Rejected(too_large) when a frame of this size is over the budget."""
    if rows * columns > MAXIMUM_FRAME_PIXELS:
        raise Rejected("too_large", f"decode a frame of {columns} x {rows} pixels: over {MAXIMUM_FRAME_PIXELS}")


def _check_shape(rows: int, columns: int, samples: int) -> None:
    if rows < 1 or columns < 1 or samples not in (1, 3, 4):
        raise Rejected("unreadable", f"describe the pixels: {columns} x {rows} with {samples} samples")
    check_frame_pixels(rows, columns)


def _check_bits(allocated: int, stored: int) -> None:
    if allocated not in _INTEGER_BITS or not 1 <= stored <= allocated:
        raise Rejected("unreadable", f"describe the pixels: {stored} bits stored in {allocated}")


def _photometric(header: Dataset, samples: int) -> str:
    claimed = str(header.get("PhotometricInterpretation") or "").strip().upper()
    return claimed or ("MONOCHROME2" if samples == 1 else "RGB")


def _integer(header: Dataset, keyword: str, default: int) -> int:
    value = first_value(header, keyword)
    try:
        return default if value is None else int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise Rejected("unreadable", f"read {keyword}: not a number") from error


def first_value(header: Dataset, keyword: str) -> Any:
    """Return the element's first value, None when it is absent, empty or cannot be converted."""
    try:
        value = header.get(keyword)
    except (ValueError, TypeError, NotImplementedError):
        return None
    if isinstance(value, (str, bytes)):
        return value or None
    if hasattr(value, "__getitem__") and hasattr(value, "__len__"):
        return value[0] if len(value) else None
    return value


def _padding(header: Dataset, signed: bool, allocated: int, stored: int) -> tuple[float, float] | None:
    """Return the padded range; PS3.3 C.7.5.1.1.2: Pixel Padding Range Limit closes it, on either side."""
    value = first_value(header, "PixelPaddingValue")
    if value is None:
        value = first_value(header, "FloatPixelPaddingValue")
    limit = first_value(header, "PixelPaddingRangeLimit")
    try:
        ends = [_as_stored(float(end), signed, allocated, stored) for end in (value, limit) if end is not None]
    except (TypeError, ValueError):
        return None
    return (min(ends), max(ends)) if value is not None else None


def _as_stored(value: float, signed: bool, allocated: int, stored: int) -> float:
    """Undo a padding value written with the other signedness than the pixels."""
    if not signed and value < 0:
        return value + 2.0**allocated
    if signed and value >= 2.0 ** (stored - 1):
        return value - 2.0**allocated
    return value
