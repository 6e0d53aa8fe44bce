"""Changes a picture may go through between two archives, for measuring whether it is still found.

Called by `evaluate` with the grey picture as it was stored, before it becomes a frame. Each is deterministic: noise is
drawn from a fixed seed.
"""

from collections.abc import Callable, Mapping

import numpy as np

from workers.pixels.canvas import Floats, resize
from workers.pixels.pictures import through_jpeg

Transform = Callable[[Floats], Floats]
_NOISE_SEED = 5


def shrunk(grey: Floats, side: int) -> Floats:
    """Scale the longer side to `side`."""
    scale = side / max(grey.shape)
    rows, columns = (max(1, round(length * scale)) for length in grey.shape)
    return np.clip(resize(grey, rows, columns), 0.0, 1.0)


def bordered(grey: Floats, share: float) -> Floats:
    """Add a black border of that share of the longer side."""
    return np.pad(grey, round(share * max(grey.shape)))


def cropped(grey: Floats, share: float) -> Floats:
    """Keep the middle: that share of height and of width is cut away, half of it on each side."""
    top, left = (round(length * share / 2) for length in grey.shape)
    return grey[top : grey.shape[0] - top, left : grey.shape[1] - left]


def noisy(grey: Floats, spread: float) -> Floats:
    """Add normal noise of that standard deviation."""
    noise = np.random.default_rng(_NOISE_SEED).normal(0.0, spread, grey.shape)
    return np.asarray(np.clip(grey + noise, 0.0, 1.0), np.float32)


def turned(grey: Floats, degrees: float) -> Floats:
    """Turn counter-clockwise about the middle, bilinear, the same size, black where nothing was."""
    height, width = grey.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    y -= (height - 1) / 2
    x -= (width - 1) / 2
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return _sampled(grey, sine * x + cosine * y + (height - 1) / 2, cosine * x - sine * y + (width - 1) / 2)


def _sampled(grey: Floats, y: np.ndarray, x: np.ndarray) -> Floats:
    """Return the values at those places, between the four nearest pixels; black outside."""
    padded = np.pad(grey, 1)
    y = np.clip(y + 1, 0.0, padded.shape[0] - 1.001)
    x = np.clip(x + 1, 0.0, padded.shape[1] - 1.001)
    top, left = np.floor(y).astype(np.intp), np.floor(x).astype(np.intp)
    down, across = y - top, x - left
    upper = padded[top, left] * (1 - across) + padded[top, left + 1] * across
    lower = padded[top + 1, left] * (1 - across) + padded[top + 1, left + 1] * across
    return np.asarray(upper * (1 - down) + lower * down, np.float32)


TRANSFORMS: Mapping[str, Transform] = {
    "JPEG quality 30": lambda grey: through_jpeg(grey, 30),
    "resized to 64": lambda grey: shrunk(grey, 64),
    "border 10 %": lambda grey: bordered(grey, 0.1),
    "crop 10 %": lambda grey: cropped(grey, 0.1),
    "gamma 0.7": lambda grey: np.asarray(grey**0.7, np.float32),
    "noise 5 %": lambda grey: noisy(grey, 0.05),
    "turned 15°": lambda grey: turned(grey, 15.0),
    "mirrored": lambda grey: grey[:, ::-1],
    "inverted": lambda grey: np.float32(1.0) - grey,
    "turned 90°": np.rot90,
}
