"""The use case of this package: a stored instance's path → its canonical frames.

Called in the limited child (`child`). The rule: everything is computed from stored values and elements that describe
them; VOI windows are never read, so that a study re-windowed by its tags gives identical frames.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from workers.errors import Rejected
from workers.pixels import canvas
from workers.pixels.description import PixelDescription, first_value
from workers.pixels.frames import FRAME_SIZE, MAXIMUM_FRAMES, FrameMeta, Frames, Picture
from workers.pixels.grey import luma_of_colour, luma_of_palette
from workers.pixels.lookup import LookupTable
from workers.pixels.rules import Rule, is_inverted, rule_for
from workers.pixels.sampling import affordable_frames, sample_frames
from workers.pixels.sop_classes import has_nothing_to_embed, modality_of
from workers.pixels.source import Source, open_source
from workers.pixels.stored import StoredFrames
from workers.pixels.tone import Values, unit_curve
from workers.pixels.units import rescale

# Larger frames are averaged down to 512..1023 pixels on the shorter side before anything else looks at them.
_WORKING_SIDE = 512
_DISPLAY = Rule("display", unit_curve)


def read_frames(path: Path, maximum_frames: int = MAXIMUM_FRAMES) -> Frames:
    """Read, decode and normalise up to `maximum_frames` frames of one stored instance.

    Raises Rejected with its code, Unavailable when the file cannot be read.
    """
    with open_source(path) as source:
        try:
            return _frames_of(source, maximum_frames)
        except (MemoryError, OSError, Rejected):
            raise
        except Exception as error:  # pydicom converts values when they are asked for, and numpy meets odd shapes
            raise Rejected("unreadable", f"make frames of an instance: {type(error).__name__}") from error


def _frames_of(source: Source, maximum_frames: int) -> Frames:
    sop_class_uid = str(source.header.get("SOPClassUID", ""))
    if has_nothing_to_embed(sop_class_uid):
        raise Rejected("nothing_to_embed", f"embed SOP Class {sop_class_uid[:64]}: it holds no picture")
    stored = StoredFrames(source)
    indices = _sample(stored, maximum_frames)
    return _InstanceReader(source, stored, _modality(source.header, sop_class_uid)).read(indices, sop_class_uid)


def _modality(header: Dataset, sop_class_uid: str) -> str:
    return modality_of(sop_class_uid, str(first_value(header, "Modality") or ""))


def _sample(stored: StoredFrames, maximum_frames: int) -> list[int]:
    frame_pixels = stored.description.rows * stored.description.columns
    return sample_frames(stored.count, affordable_frames(frame_pixels, maximum_frames))


class _InstanceReader:
    """One instance on its way through the steps; holds what every frame needs."""

    def __init__(self, source: Source, stored: StoredFrames, modality: str) -> None:
        self._header = source.header
        self._stored = stored
        self._modality = modality
        self._description: PixelDescription = stored.description
        self._palette: LookupTable | None = None
        if self._description.photometric == "PALETTE COLOR":
            self._palette = luma_of_palette(source.header)
        self._rule = self._choose_rule()
        self._inverted = not self._rule.absolute and is_inverted(source.header, self._description.photometric)
        self._region = _ultrasound_region(source.header) if modality == "US" else None

    def read(self, indices: Sequence[int], sop_class_uid: str) -> Frames:
        """Return those of the frames that are not blank. Raises Rejected(blank) when none is left."""
        values = [self._values(index) for index in indices]
        curve = self._rule.curve(values)
        pictures = [self._picture(np.asarray(curve(frame.pixels), np.float32), frame) for frame in values]
        kept = [(index, picture) for index, picture in zip(indices, pictures, strict=True) if picture is not None]
        if not kept:
            raise Rejected("blank", f"embed {len(indices)} frames: each is uniform")
        return Frames(
            pixels=np.stack([picture for _, picture in kept]),
            frame_numbers=tuple(index + 1 for index, _ in kept),
            meta=FrameMeta(
                modality=self._modality,
                body_part=str(first_value(self._header, "BodyPartExamined") or ""),
                sop_class_uid=sop_class_uid,
                units=self._rule.units,
                number_of_frames=self._stored.count,
            ),
        )

    def _choose_rule(self) -> Rule:
        """Colour, palettes and ultrasound are display values; the rest follows its modality."""
        if self._palette is not None or self._description.samples > 1 or self._modality == "US":
            return _DISPLAY
        return rule_for(self._header, self._modality, self._description.signed)

    def _values(self, index: int) -> Values:
        samples = self._stored.read(index)
        if self._region is not None:
            samples = _crop(samples, self._region)
        padding = self._padding(samples)
        grey = self._grey(samples)
        factor = max(1, min(grey.shape) // _WORKING_SIDE)
        valid = canvas.shrink(padding, factor) == 0
        return self._in_units(index, canvas.shrink(grey, factor), valid)

    def _grey(self, samples: NDArray[Any]) -> NDArray[Any]:
        if samples.ndim == 3:
            description = self._description
            bits = min(description.bits_stored, samples.dtype.itemsize * 8)
            return luma_of_colour(samples, description.photometric, self._stored.gives_rgb, bits)
        if self._palette is not None:
            return self._palette.apply(samples)
        if self._rule is _DISPLAY:
            return samples.astype(np.float32) / np.float32(2**self._description.bits_stored - 1)
        return samples

    def _padding(self, samples: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which pixels are padding or not finite: bool[rows, columns]."""
        if samples.ndim == 3:
            return np.zeros(samples.shape[:2], np.bool_)
        padding = ~np.isfinite(samples) if samples.dtype.kind == "f" else np.zeros(samples.shape, np.bool_)
        if self._description.padding is not None:
            low, high = self._description.padding
            padding |= (samples >= low) & (samples <= high)
        return padding

    def _in_units(self, index: int, grey: Picture, valid: NDArray[np.bool_]) -> Values:
        if self._rule is _DISPLAY:
            return Values(grey, valid)
        pixels = rescale(self._header, index, grey, self._description.signed) * np.float32(self._rule.factor)
        finite = np.isfinite(pixels)
        return Values(np.where(finite, pixels, np.float32(0.0)), valid & finite)

    def _picture(self, grey: Picture, frame: Values) -> Picture | None:
        """Return the canonical picture, None when the frame is blank."""
        if self._inverted:
            grey = np.float32(1.0) - grey
        grey = np.where(frame.valid, grey, np.float32(0.0))
        if canvas.is_blank(grey):
            return None
        trimmed = canvas.trim_border(grey)
        if self._modality == "MG":
            trimmed = canvas.face_left(trimmed)
        square = canvas.to_square(trimmed, FRAME_SIZE)
        return None if canvas.is_blank(square) else square


def _crop(samples: NDArray[Any], region: tuple[int, int, int, int]) -> NDArray[Any]:
    left, top, right, bottom = region
    cropped = samples[top:bottom, left:right]
    return cropped if min(cropped.shape[:2]) >= 16 else samples


def _ultrasound_region(header: Dataset) -> tuple[int, int, int, int] | None:
    """Return left, top, right, bottom of the largest region, tissue (2D) before others; PS3.3 C.8.5.5."""
    boxes = []
    for item in header.get("SequenceOfUltrasoundRegions") or []:
        corners = [first_value(item, f"RegionLocation{name}") for name in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
        if None in corners:
            continue
        left, top, right, bottom = (int(corner) for corner in corners if corner is not None)
        if 0 <= left < right and 0 <= top < bottom:
            is_tissue = first_value(item, "RegionSpatialFormat") == 1
            boxes.append((is_tissue, (right - left) * (bottom - top), (left, top, right + 1, bottom + 1)))
    return max(boxes)[2] if boxes else None
