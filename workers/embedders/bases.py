"""Fixed tables the descriptor is built on: wave filters, and the cosine and Fourier rows that shorten its blocks.

Called by `features` and `descriptor` once, at construction. Computed in double precision from closed formulas, so that
every platform has the same tables to within a rounding of float32; there is no randomness in them.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Doubles = NDArray[np.floating[Any]]

# Ratio of a filter's centre frequency to its spread (Field 1987); 0.55 is about two octaves.
_LOG_GABOR_SIGMA = 0.55
_ANGULAR_OVERLAP = 1.2


def log_gabor(size: int, wavelengths: list[float], orientations: int) -> torch.Tensor:
    """Return float32[wavelengths, orientations, size, size]: filters on the unshifted Fourier grid, zero at its origin.

    `wavelengths` are in pixels of the grid. Each filter covers one half-plane, so the inverse transform is the analytic
    response and its modulus the local energy.
    """
    frequency = np.fft.fftfreq(size)
    y, x = np.meshgrid(frequency, frequency, indexing="ij")
    radius, angle = np.hypot(x, y), np.arctan2(-y, x)
    radius[0, 0] = 1.0
    bank = np.empty((len(wavelengths), orientations, size, size))
    for i, wavelength in enumerate(wavelengths):
        radial = np.exp(-(np.log(radius * wavelength) ** 2) / (2 * np.log(_LOG_GABOR_SIGMA) ** 2))
        radial[0, 0] = 0.0
        for j in range(orientations):
            bank[i, j] = radial * _angular(angle, j, orientations)
    return to_tensor(bank)


def _angular(angle: Doubles, index: int, orientations: int) -> Doubles:
    step = np.pi / orientations
    turned = angle - index * step
    distance = np.arctan2(np.sin(turned), np.cos(turned))
    return np.asarray(np.exp(-(distance**2) / (2 * (step / _ANGULAR_OVERLAP) ** 2)))


def cosine_rows(length: int, count: int) -> Doubles:
    """Return the `count` lowest rows of the orthonormal cosine transform (DCT-II): float64[count, length]."""
    rows = np.cos(np.pi * np.arange(count)[:, None] * (np.arange(length) + 0.5) / length) * np.sqrt(2.0 / length)
    rows[0] /= np.sqrt(2.0)
    return np.asarray(rows)


def circular_rows(length: int, harmonics: int) -> Doubles:
    """Return the orthonormal Fourier rows up to a harmonic below length / 2: float64[1 + 2 * harmonics, length]."""
    turn = 2 * np.pi * np.arange(length) / length
    rows = [np.full(length, np.sqrt(1.0 / length))]
    for harmonic in range(1, harmonics + 1):
        rows += [np.cos(harmonic * turn) * np.sqrt(2.0 / length), np.sin(harmonic * turn) * np.sqrt(2.0 / length)]
    return np.stack(rows)


def layout_rows(grid: int, count: int) -> Doubles:
    """Return the `count` lowest two-dimensional cosine rows over a grid: float64[count, grid * grid].

    Lowest by distance from the origin, ties by the vertical frequency.
    """
    line = cosine_rows(grid, grid)
    order = sorted((u * u + v * v, u, v) for u in range(grid) for v in range(grid))
    return np.stack([np.outer(line[u], line[v]).ravel() for _, u, v in order[:count]])


def to_tensor(table: Doubles) -> torch.Tensor:
    """Return the table as float32."""
    return torch.from_numpy(table.astype(np.float32))
