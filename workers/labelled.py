"""A folder of labelled files: the rows of its CSV, who belongs to whom, repeatable halves, and frames.

Called by `evaluate` and by the fit of the default embedder. The rule: whoever shares a patient or a group shares a
half, whatever the order of the rows.
"""

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workers.decoding import Decoder
from workers.errors import Rejected, Unavailable
from workers.pixels.canvas import Floats
from workers.pixels.pictures import canonical_frame, is_picture, read_grey

PERMITTED_LICENCES = frozenset({"permissive", "share-alike"})
# The first column of these that is there and filled is taken.
_SOURCE_COLUMNS = ("source", "source_repo", "dataset")


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled file. `patient` is who must not count as a success: the patient, else the group, else the file.

    Missing columns are empty; `source` is where the file came from within its `dataset`.
    """

    file: str
    label: str
    patient: str
    dataset: str = ""
    source: str = ""
    modality: str = ""
    body_part: str = ""
    licence_class: str = ""


def read_rows(table: Path) -> list[Row]:
    """Read the CSV. Raises Rejected when a needed column is missing, Unavailable when it cannot be read."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            missing = {"file", "label"} - set(reader.fieldnames or ())
            if missing:
                raise Rejected("unreadable", f"read labels: the column {' and '.join(sorted(missing))} is missing")
            return [_row(fields) for fields in reader]
    except OSError as error:
        raise Unavailable(f"read labels: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise Rejected("unreadable", f"read labels: {type(error).__name__}") from error


def _row(fields: dict[str, str | None]) -> Row:
    values = {name: (value or "").strip() for name, value in fields.items() if isinstance(value, str | None)}
    dataset = values.get("dataset", "")
    owner = values.get("patient_id") or values.get("group_id") or values["file"]
    return Row(
        file=values["file"],
        label=values["label"],
        patient=f"{dataset}/{owner}",
        dataset=dataset,
        source=next((values[name] for name in _SOURCE_COLUMNS if values.get(name)), ""),
        modality=values.get("modality", ""),
        body_part=values.get("body_part", ""),
        licence_class=values.get("licence_class", ""),
    )


def is_in_first_half(patient: str) -> bool:
    """Say in which half a patient is: by a digest of the name, the same on every machine and for every table."""
    return hashlib.sha256(patient.encode()).digest()[0] < 128


def permitted(rows: Iterable[Row]) -> list[Row]:
    """Return the rows whose licence permits fitting on them."""
    return [row for row in rows if row.licence_class in PERMITTED_LICENCES]


class LabelledFolder:
    """Reads the files that rows name, each below `folder`."""

    def __init__(self, folder: Path, decoder: Decoder) -> None:
        self._folder = folder.resolve()
        self._decoder = decoder

    def grey(self, row: Row) -> Floats:
        """Return a picture as it is stored, or the middle frame of a DICOM file: float32[rows, columns] in 0..1.

        Raises Rejected when there is none to be had from the file, Unavailable when it cannot be read.
        """
        path = (self._folder / row.file).resolve()
        if not path.is_relative_to(self._folder):
            raise Rejected("unreadable", "read a labelled file: it lies outside the folder")
        if is_picture(path):
            return read_grey(path)
        frames = self._decoder.frames(path).pixels
        return np.asarray(frames[len(frames) // 2])

    def frame(self, row: Row) -> Floats:
        """Return the canonical frame; raises as `grey` does."""
        return canonical_frame(self.grey(row))

    def frames(self, rows: Iterable[Row], rejected: Counter[str]) -> Iterator[tuple[Row, Floats]]:
        """Yield each row with its canonical frame; rows that have none are counted in `rejected` by their reason."""
        for row in rows:
            try:
                frame = self.frame(row)
            except Rejected as error:
                rejected[error.code] += 1
            else:
                yield row, frame
