"""A small residual network: canonical frames → feature vectors, trained by `training`, used by `fitted`.

Nothing here knows how it was trained. Frames are halved first: 64 pixels are what the budget of time allows.
"""

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from workers.embedders.features import halve

WIDTHS = (24, 48, 96, 192)
FEATURES = WIDTHS[-1]


class Residual(nn.Module):
    """Two convolutions beside a shortcut (He et al. 2016), `stride` 1 or 2."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(stride), nn.Conv2d(channels_in, channels, 1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return float32[n, channels, side / stride, side / stride]."""
        inner = functional.relu(self.first_norm(self.first(maps)))
        return functional.relu(self.second_norm(self.second(inner)) + self.shortcut(maps))


class Network(nn.Module):
    """Four residual stages over a coarse first convolution, averaged over the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, WIDTHS[0], 5, 2, 2, bias=False)
        self.stem_norm = nn.BatchNorm2d(WIDTHS[0])
        inputs = (WIDTHS[0], *WIDTHS[:-1])
        self.stages = nn.Sequential(
            *(
                Residual(channels_in, channels, 1 if stage == 0 else 2)
                for stage, (channels_in, channels) in enumerate(zip(inputs, WIDTHS, strict=True))
            )
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """Turn float32[n, 128, 128] in 0..1 into float32[n, FEATURES], not of unit length."""
        return self.features(halve(pictures))

    def features(self, small: Tensor) -> Tensor:
        """Do the same for pictures that are halved already: float32[n, 64, 64]."""
        centred = (small - small.mean((1, 2), keepdim=True))[:, None]
        scaled = centred / torch.sqrt((centred * centred).mean((1, 2, 3), keepdim=True) + 1e-3)
        maps: Tensor = self.stages(functional.relu(self.stem_norm(self.stem(scaled))))
        return maps.mean((2, 3))
