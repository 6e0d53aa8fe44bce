"""The descriptor's blocks: pictures → non-negative maps over a coarse grid, batched, on any device.

Each takes float32[n, 128, 128] in 0..1 and gives float32[n, channels, grid, grid]. Nothing here is fitted; sums only,
no scattered writes, so results are deterministic on a GPU too.
"""

import math

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from workers.embedders.bases import log_gabor

_HOG_CELL = 16
_HOG_BINS = 8
_HOG_CLIP = 0.8
_HOG_FLOOR = 1e-4  # contrast below about 1 % of the range is noise, and stays small
_LBP_MARGIN = 0.01  # a neighbour counts as brighter from here on, so that flat noise is no texture
_LBP_PATTERNS = 10
_HISTOGRAM_BINS = 16
_GRID = 4
_NEIGHBOURS = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))


class Gradients(nn.Module):
    """Histograms of oriented gradients (Dalal and Triggs 2005): 8 orientations, 8 x 8 cells, contrast undone."""

    def forward(self, pictures: Tensor) -> Tensor:
        """Return float32[n, 8, 8, 8]."""
        padded = functional.pad(pictures[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
        across = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
        down = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
        cells = functional.avg_pool2d(self._oriented(across, down), _HOG_CELL)
        energy = (cells * cells).sum(1, keepdim=True)
        around = functional.avg_pool2d(energy, 3, stride=1, padding=1, count_include_pad=False)
        return torch.clamp(cells / torch.sqrt(around + _HOG_FLOOR), max=_HOG_CLIP)

    def _oriented(self, across: Tensor, down: Tensor) -> Tensor:
        """Share each magnitude between the two nearest of the orientations, which repeat after half a turn."""
        magnitude = torch.sqrt(across * across + down * down)
        place = torch.remainder(torch.atan2(down, across), math.pi) * (_HOG_BINS / math.pi)
        maps = []
        for orientation in range(_HOG_BINS):
            away = torch.abs(place - orientation)
            away = torch.minimum(away, _HOG_BINS - away)
            maps.append(torch.clamp(1.0 - away, min=0.0) * magnitude)
        return torch.stack(maps, 1)


class Waves(nn.Module):
    """Local energy of log-Gabor waves (the gist of Oliva and Torralba 2001): 4 scales x 8 orientations.

    The two fine scales are taken at 64 pixels, the two coarse ones from the cropped spectrum at 32.
    """

    fine: Tensor
    coarse: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("fine", log_gabor(64, [3.0, 6.0], 8))
        self.register_buffer("coarse", log_gabor(32, [6.0, 12.0], 8))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return float32[n, 32, 4, 4], channels by scale, then orientation."""
        spectrum = torch.fft.fft2(halve(pictures))
        low = torch.cat([spectrum[:, :16], spectrum[:, -16:]], 1)
        low = torch.cat([low[:, :, :16], low[:, :, -16:]], 2) / 4.0
        maps = [self._energy(spectrum, self.fine), self._energy(low, self.coarse)]
        return torch.cat(maps, 1)

    def _energy(self, spectrum: Tensor, bank: Tensor) -> Tensor:
        response = torch.abs(torch.fft.ifft2(spectrum[:, None, None] * bank))
        return functional.adaptive_avg_pool2d(response.flatten(1, 2), _GRID)


class Textures(nn.Module):
    """Rotation-invariant uniform local binary patterns (Ojala 2002), radius 1 and 2, and 2 at half size."""

    patterns: Tensor
    labels: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("patterns", torch.tensor([_pattern(code) for code in range(256)]))
        self.register_buffer("labels", torch.arange(_LBP_PATTERNS)[:, None, None])

    def forward(self, pictures: Tensor) -> Tensor:
        """Return float32[n, 30, 4, 4]: shares of the ten patterns for each of the three."""
        return torch.cat([self._shares(pictures, 1), self._shares(pictures, 2), self._shares(halve(pictures), 2)], 1)

    def _shares(self, pictures: Tensor, radius: int) -> Tensor:
        size = pictures.shape[-1]
        padded = functional.pad(pictures[:, None], (radius,) * 4, mode="replicate")[:, 0]
        brighter = pictures + _LBP_MARGIN
        codes = torch.zeros_like(pictures, dtype=torch.int32)
        for bit, (down, across) in enumerate(_NEIGHBOURS):
            top, left = radius * (1 + down), radius * (1 + across)
            codes += (padded[:, top : top + size, left : left + size] > brighter).to(torch.int32) << bit
        patterns = self.patterns[codes]
        return functional.adaptive_avg_pool2d(torch.eq(patterns[:, None], self.labels).float(), _GRID)


class GreyLevels(nn.Module):
    """Histograms of 16 grey levels, each pixel shared between its two nearest, at half size."""

    levels: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("levels", torch.arange(_HISTOGRAM_BINS)[:, None, None].float())

    def forward(self, pictures: Tensor) -> Tensor:
        """Return float32[n, 16, 4, 4]."""
        place = halve(pictures)[:, None] * (_HISTOGRAM_BINS - 1)
        return functional.adaptive_avg_pool2d(torch.clamp(1.0 - torch.abs(place - self.levels), min=0.0), _GRID)


def halve(pictures: Tensor) -> Tensor:
    """Average blocks of 2 x 2."""
    return functional.avg_pool2d(pictures[:, None], 2)[:, 0]


def _pattern(code: int) -> int:
    """Return the number of brighter neighbours of a code with at most two changes around the circle, 9 for others."""
    bits = [code >> i & 1 for i in range(8)]
    changes = sum(bits[i] != bits[i - 1] for i in range(8))
    return sum(bits) if changes <= 2 else 9
