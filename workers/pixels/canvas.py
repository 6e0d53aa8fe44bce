"""Grey picture of any size → the canonical square: uniform borders trimmed, padded, resized with antialiasing.

Called by `reader` after `tone`. Geometry is separable and exact: the same picture gives the same bytes on every
machine to within the rounding of a matrix product.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
# A border line is one whose pixels keep to the border's level: 98 % of them within 0.04, so that noise, a scratch or
# a corner of text does not hold it.
_BORDER_TOLERANCE = 0.04
_BORDER_SHARE = 0.98
_SMALLEST_SIDE = 16
_SMALLEST_SHARE = 0.2
_BLANK_RANGE = 0.02


def is_blank(picture: Floats) -> bool:
    """Say whether the picture holds next to no grey levels: nothing to compare."""
    return float(picture.max() - picture.min()) < _BLANK_RANGE


def trim_border(picture: Floats) -> Floats:
    """Cut uniform border lines off each side, unless next to nothing would be left."""
    level = float(np.median(np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])))
    inside = np.abs(picture - np.float32(level)) > _BORDER_TOLERANCE
    rows = np.flatnonzero(inside.mean(axis=1) > 1 - _BORDER_SHARE)
    columns = np.flatnonzero(inside.mean(axis=0) > 1 - _BORDER_SHARE)
    if not (_enough(rows, picture.shape[0]) and _enough(columns, picture.shape[1])):
        return picture
    return picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _enough(lines: NDArray[np.intp], side: int) -> bool:
    return bool(lines.size) and int(lines[-1] - lines[0]) + 1 >= max(_SMALLEST_SIDE, _SMALLEST_SHARE * side)


def to_square(picture: Floats, size: int) -> Floats:
    """Scale the longer side to `size` and centre the picture on black: float32[size, size]."""
    height, width = picture.shape
    longer = max(height, width)
    rows, columns = max(1, round(height * size / longer)), max(1, round(width * size / longer))
    scaled = resize(picture, rows, columns)
    square = np.zeros((size, size), np.float32)
    top, left = (size - rows) // 2, (size - columns) // 2
    square[top : top + rows, left : left + columns] = np.clip(scaled, 0.0, 1.0)
    return square


def resize(picture: Floats, rows: int, columns: int) -> Floats:
    """Scale to float32[rows, columns], with antialiasing."""
    height, width = picture.shape
    return np.asarray(_weights(height, rows) @ picture @ _weights(width, columns).T)


@lru_cache(maxsize=256)
def _weights(source: int, target: int) -> Floats:
    """Return float32[target, source] of a triangle filter, as wide as the shrinkage asks for (PIL's BILINEAR)."""
    scale = source / target
    support = max(scale, 1.0)
    centres = (np.arange(target) + 0.5) * scale
    distances = np.abs(np.arange(source) + 0.5 - centres[:, None]) / support
    weights = np.clip(1.0 - distances, 0.0, None)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def shrink(pixels: NDArray[np.generic], factor: int) -> Floats:
    """Average blocks of `factor` squared; a remainder at the right and the bottom is dropped."""
    if factor == 1:
        return pixels.astype(np.float32)
    rows, columns = (side // factor for side in pixels.shape)
    blocks = pixels[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float32))


def face_left(picture: Floats) -> Floats:
    """Mirror a picture whose right half is the brighter one: a breast then always lies at the left border."""
    middle = picture.shape[1] // 2
    return picture[:, ::-1] if picture[:, -middle:].mean() > picture[:, :middle].mean() else picture
