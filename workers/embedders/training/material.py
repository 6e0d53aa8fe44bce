"""What the fitted embedder may be fitted on: frames of permitted rows in the first half of the patients.

Called by `training.__main__`. The other half is for measuring and never read here.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from workers.embedders.training.contrast import Pictures
from workers.labelled import LabelledFolder, Row, is_in_first_half, permitted
from workers.pixels.frames import Picture


@dataclass(frozen=True, slots=True)
class Material:
    """Rows and their frames, float32[n, 128, 128]."""

    rows: list[Row]
    frames: Picture

    def pictures(self) -> Pictures:
        """Return them for training: a set is one source of a dataset, a finding a label within it."""
        sets = [(row.dataset, row.source) for row in self.rows]
        findings = [(*of, row.label) if row.label else None for of, row in zip(sets, self.rows, strict=True)]
        pixels = torch.from_numpy(np.rint(self.frames * 255).astype(np.uint8))
        return Pictures(pixels, torch.tensor(_numbers(sets)), torch.tensor(_numbers(findings)))


def read_material(folder: LabelledFolder, rows: Sequence[Row]) -> Material:
    """Read the frames of those rows that may be fitted on."""
    wanted = [row for row in permitted(rows) if is_in_first_half(row.patient)]
    found = list(folder.frames(wanted, Counter()))
    return Material([row for row, _ in found], np.stack([frame for _, frame in found]))


def _numbers(names: Sequence[tuple[str, ...] | None]) -> list[int]:
    """Return the place of each name in the sorted order of all; -1 for none."""
    order = {name: number for number, name in enumerate(sorted({name for name in names if name is not None}))}
    return [-1 if name is None else order[name] for name in names]
