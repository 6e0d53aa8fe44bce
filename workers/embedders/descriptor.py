"""`Descriptor`: the default embedder, useful at once because nothing in it is trained.

Four blocks (`features`), each square-rooted (Hellinger), freed of its mean, brought to unit length and shortened to its
lowest cosine and Fourier rows over layout and channels (`bases`); joined with equal weights; unit length again. The low
rows keep what is smooth in place and scale, which is what alike pictures share: they did better than all 1,696 values
and than seeded random rows.

Measured on the labelled pictures, query half against gallery half by patient (lung ultrasound and series: each against
all others), own patient never counted; P@1 / P@10 / mAP in percent, beside 24 x 24 grey pixels under cosine:

    task                                    descriptor             pixels
    modality and body part, pooled          98.5 / 96.9 / 87.3     92.3 / 86.0 / 64.7
    six anatomies (mednist)                100.0 / 99.7 / 94.7     96.9 / 90.5 / 64.7
    set and diagnosis, pooled               86.5 / 81.2 / 66.1     74.8 / 66.2 / 42.6
    chest X-ray diagnosis, one source       71.5 / 67.7 / 59.7     65.2 / 60.6 / 55.8
    pneumonia (28 pixels)                   89.7 / 85.5 / 70.1     88.6 / 82.3 / 70.3
    breast ultrasound                       57.8 / 46.8 / 45.7     52.0 / 45.5 / 45.4
    lung ultrasound                         87.5 / 82.1 / 88.4     81.2 / 78.3 / 80.3
    modality and body part of series        86.5 / 90.4 / 90.8     75.9 / 79.0 / 77.6
    same patient in another modality        39.8 / 23.5 / 25.8     26.7 / 11.3 / 12.4

The same picture comes first of 1,200, in percent: JPEG q30 100, 64 pixels 100, border 98, turned by 5° 97, cropped by
10 % 94, noise of 5 % 87, gamma 0.7 83, turned by 15° 82, inverted 67, mirrored 65. One slice finds its own series in
98.0 of 100 (34 series). Grey levels at twice the weight would make that 98.9, and gamma 64.

About 3.5 CPU-ms a picture on one thread. What a fitted or trained embedder would add comes beside it in the registry.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from workers.embedders.bases import Doubles, circular_rows, cosine_rows, layout_rows, to_tensor
from workers.embedders.features import Gradients, GreyLevels, Textures, Waves
from workers.embedders.port import EmbedderDescription, Vectors, check_frames
from workers.pixels.frames import FRAME_SIZE, PREPROCESSING_VERSION, FrameMeta, Picture

_MICRO_BATCH = 32  # pictures at once: about 100 MB of complex maps


class Block(nn.Module):
    """One block's maps → its share of the vector, at unit length: float32[n, channel rows x layout rows]."""

    channel_rows: Tensor
    layout: Tensor

    def __init__(self, features: nn.Module, channel_rows: Doubles, layout: Doubles) -> None:
        """Shorten what `features` gives by float64[rows, channels] and float64[rows, places]."""
        super().__init__()
        self.features = features
        self.register_buffer("channel_rows", to_tensor(channel_rows))
        self.register_buffer("layout", to_tensor(layout.T))
        self.dimension = len(channel_rows) * len(layout)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return float32[n, dimension]."""
        maps = torch.sqrt(self.features(pictures)).flatten(2)
        maps = maps - maps.mean((1, 2), keepdim=True)
        maps = maps / torch.linalg.vector_norm(maps, dim=(1, 2), keepdim=True).clamp_min(1e-6)
        rows: Tensor = self.channel_rows @ maps @ self.layout
        return rows.flatten(1)


def _blocks() -> list[Block]:
    wave_rows = np.kron(np.eye(4), circular_rows(8, 2))  # scales kept, orientations smoothed
    texture_rows: Doubles = np.eye(30)  # patterns have no order to be smooth in
    return [
        Block(Gradients(), circular_rows(8, 2), layout_rows(8, 18)),
        Block(Waves(), wave_rows, layout_rows(4, 6)),
        Block(GreyLevels(), cosine_rows(16, 12), layout_rows(4, 7)),
        Block(Textures(), texture_rows, layout_rows(4, 3)),
    ]


class Descriptor:
    """The training-free embedder; see the module. Not for use from two threads at once on a GPU."""

    def __init__(self, threads: int = 1, device: str = "cpu") -> None:
        """Compute on `device` with so many CPU threads, a setting of the whole process."""
        torch.set_num_threads(threads)
        self._device = torch.device(device)
        blocks = _blocks()
        self._dimension = sum(block.dimension for block in blocks)
        self._blocks = nn.ModuleList(blocks).to(self._device).eval()

    def describe(self) -> EmbedderDescription:
        """Return the card."""
        return EmbedderDescription(
            name="descriptor",
            version="1",
            dimension=self._dimension,
            frame_size=FRAME_SIZE,
            preprocessing=PREPROCESSING_VERSION,
            licence="Apache-2.0",
        )

    def embed(self, frames: Picture, meta: Sequence[FrameMeta] = ()) -> Vectors:  # noqa: ARG002 - alike for all kinds
        """Embed the frames; see the port."""
        check_frames(frames, FRAME_SIZE)
        vectors = np.empty((len(frames), self._dimension), np.float32)
        with torch.inference_mode():
            for start in range(0, len(frames), _MICRO_BATCH):
                batch = torch.from_numpy(np.ascontiguousarray(frames[start : start + _MICRO_BATCH])).to(self._device)
                vectors[start : start + _MICRO_BATCH] = self._vectors(batch).cpu().numpy()
        return vectors

    def _vectors(self, batch: Tensor) -> Tensor:
        joined = torch.cat([block(batch) for block in self._blocks], 1)
        return functional.normalize(joined)
