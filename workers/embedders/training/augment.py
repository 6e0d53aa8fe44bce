"""Random changes that leave a medical picture what it is: what the network learns not to see.

Called by `training.contrast` with a batch on the CPU; everything is drawn from the generator given, so a training can
be repeated. Pictures are float32[n, 128, 128] in 0..1 and come back halved, float32[n, 64, 64] in 0..1.
"""

import math

import torch
import torch.nn.functional as functional
from torch import Generator, Tensor

_SIDE = 64


def augment(pictures: Tensor, generator: Generator) -> Tensor:
    """Return one random view of each picture: moved, toned, then spoilt as scanners and compression spoil."""
    views = _move(pictures, generator)
    views = _tone(views, generator)
    views = _spoil(views, generator)
    return views.clamp(0.0, 1.0)


def _uniform(count: int, low: float, high: float, generator: Generator) -> Tensor:
    return torch.rand(count, generator=generator) * (high - low) + low


def _chosen(count: int, share: float, generator: Generator) -> Tensor:
    """Return bool[count, 1, 1], true for about that share."""
    return (torch.rand(count, generator=generator) < share)[:, None, None]


def _move(pictures: Tensor, generator: Generator) -> Tensor:
    """Scale (crop or border), stretch, turn, mirror and shift; one in five by a multiple of 90 degrees."""
    count = len(pictures)
    scale = _uniform(count, 0.65, 1.15, generator)
    stretch = torch.exp(_uniform(count, -0.15, 0.15, generator))
    quarters = torch.randint(1, 4, (count,), generator=generator) * _chosen(count, 0.2, generator)[:, 0, 0]
    angle = _uniform(count, -20.0, 20.0, generator) * (math.pi / 180) + quarters * (math.pi / 2)
    mirrored = 1.0 - 2.0 * _chosen(count, 0.5, generator)[:, 0, 0].float()
    across, down = scale * stretch, scale / stretch
    room = (1.0 - scale).abs() + 0.05
    shift = (torch.rand(count, 2, generator=generator) * 2 - 1) * room[:, None]
    cosine, sine = torch.cos(angle), torch.sin(angle)
    matrix = torch.stack(
        [
            torch.stack([cosine * across * mirrored, -sine * down, shift[:, 0]], 1),
            torch.stack([sine * across * mirrored, cosine * down, shift[:, 1]], 1),
        ],
        1,
    )
    # Half as many places as pixels, each between four of them: bilinear sampling averages those.
    grid = functional.affine_grid(matrix, [count, 1, _SIDE, _SIDE], align_corners=False)
    return functional.grid_sample(pictures[:, None], grid, align_corners=False)[:, 0]


def _tone(views: Tensor, generator: Generator) -> Tensor:
    """Window, gamma, and one in five inverted."""
    count = len(views)
    windowed = _chosen(count, 0.7, generator)
    low = _uniform(count, -0.05, 0.25, generator)[:, None, None]
    high = _uniform(count, 0.65, 1.1, generator)[:, None, None]
    views = torch.where(windowed, ((views - low) / (high - low)).clamp(0.0, 1.0), views)
    gamma = torch.exp(_uniform(count, -0.7, 0.7, generator))[:, None, None]
    views = (views + 1e-4) ** gamma
    return torch.where(_chosen(count, 0.2, generator), 1.0 - views, views)


def _spoil(views: Tensor, generator: Generator) -> Tensor:
    """Blur or resample, cover a box (text, a marker), add noise."""
    count, side = len(views), views.shape[-1]
    blurred = functional.avg_pool2d(views[:, None], 3, 1, 1, count_include_pad=False)[:, 0]
    views = torch.where(_chosen(count, 0.25, generator), blurred, views)
    coarse = functional.interpolate(functional.avg_pool2d(views[:, None], 2), scale_factor=2.0, mode="bilinear")[:, 0]
    views = torch.where(_chosen(count, 0.2, generator), coarse, views)
    boxes = _boxes(count, side, generator) & _chosen(count, 0.3, generator)
    views = torch.where(boxes, _levels(count, generator), views)
    spread = _uniform(count, 0.0, 0.06, generator)[:, None, None] * _chosen(count, 0.6, generator)
    return views + spread * torch.randn(views.shape, generator=generator)


def _boxes(count: int, side: int, generator: Generator) -> Tensor:
    """Return bool[count, side, side], one box of up to a third of the side in each."""
    place = torch.arange(side)
    starts = torch.randint(0, side, (count, 2), generator=generator)
    ends = starts + torch.randint(4, side // 3, (count, 2), generator=generator)
    down = (place >= starts[:, :1]) & (place < ends[:, :1])
    across = (place >= starts[:, 1:]) & (place < ends[:, 1:])
    return down[:, :, None] & across[:, None, :]


def _levels(count: int, generator: Generator) -> Tensor:
    return torch.rand(count, generator=generator).round()[:, None, None]
