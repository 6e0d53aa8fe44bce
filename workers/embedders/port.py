"""The port: what an embedder is asked, what it says about itself, and what it may refuse.

`embedding` and the registry depend on this module only; `tests/contracts/test_embedder.py` holds every implementation
against it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from index_service.vector_space import VectorSpace
from workers.errors import Rejected
from workers.pixels.canvas import is_blank
from workers.pixels.frames import FrameMeta, Picture

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EmbedderDescription:
    """An embedder's card: everything that decides whether two vectors are comparable, and its licence.

    `frame_size` is the side of the square frames it takes; `digests` are (name, hex SHA-256) of weights and statistics
    it loads, none for one that is computed from its code alone.
    """

    name: str
    version: str
    dimension: int
    frame_size: int
    preprocessing: str
    licence: str
    digests: tuple[tuple[str, str], ...] = ()

    def vector_space(self) -> VectorSpace:
        """Return the space of this embedder's vectors; other weights, version or preprocessing make another space."""
        version = self.version
        if self.digests:
            version += "+" + hashlib.sha256(repr(self.digests).encode()).hexdigest()[:12]
        return VectorSpace(
            name=f"{self.name}-{version}-{self.preprocessing}",
            dimension=self.dimension,
            model=self.name,
            preprocessing=self.preprocessing,
            version=version,
        )


class Embedder(Protocol):
    """Turns canonical frames into vectors; deterministic, so that doing it twice changes nothing."""

    def describe(self) -> EmbedderDescription:
        """Return the card; the same for the life of the object."""

    def embed(self, frames: Picture, meta: Sequence[FrameMeta] = ()) -> Vectors:
        """Embed float32[n, size, size] in 0..1 to float32[n, dimension], finite, of unit length.

        `meta` is one per frame, or empty where nothing is known. A frame's vector does not depend on the others of the
        batch (to within 1e-5). Raises Rejected(blank) when a frame is uniform: it has no vector.
        """


def check_frames(frames: Picture, frame_size: int) -> None:
    """Raise Rejected(blank) for a uniform frame, ValueError for what is no batch of frames: the caller's mistake."""
    if frames.ndim != 3 or frames.shape[1:] != (frame_size, frame_size) or frames.dtype != np.float32:
        raise ValueError(f"embed {frames.dtype}{list(frames.shape)}: float32[n, {frame_size}, {frame_size}] is wanted")
    for number, frame in enumerate(frames):
        if not np.isfinite(frame).all() or frame.min() < 0 or frame.max() > 1:
            raise ValueError(f"embed frame {number} of a batch: values outside 0..1")
        if is_blank(frame):
            raise Rejected("blank", f"embed frame {number} of a batch: it is uniform")
