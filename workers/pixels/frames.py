"""What decoding hands to embedding: canonical frames of one instance and the few facts that travel with them."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

FRAME_SIZE = 128
MAXIMUM_FRAMES = 32
# Part of every vector space's definition: raise it whenever the same instance gives other frames than before.
PREPROCESSING_VERSION = "frames-1"

Picture = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FrameMeta:
    """Facts about the instance that rules for embedding may use; no patient data.

    `units` says what the grey means: "HU", "SUVbw", "display" (an absolute scale) or "relative" (percentiles).
    `number_of_frames` counts those stored, not those sampled.
    """

    modality: str = ""
    body_part: str = ""
    sop_class_uid: str = ""
    units: str = "relative"
    number_of_frames: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Frames:
    """Sampled frames of one instance.

    `pixels` is float32[n, FRAME_SIZE, FRAME_SIZE], n >= 1, finite, in 0..1, none of them blank; `frame_numbers` are n
    ascending numbers from 1 in the stored instance.
    """

    pixels: Picture
    frame_numbers: tuple[int, ...]
    meta: FrameMeta = field(default_factory=FrameMeta)
