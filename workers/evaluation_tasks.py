"""What is asked of a labelled set: which rows agree, which are compared, which must not count.

Called by `evaluate`. A task is arrays over the rows, so that measuring knows nothing of labels; the same patient (else
group) never counts as a success, except where finding it is the aim.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.evaluation import Mask
from workers.labelled import Row, is_in_first_half

Names = NDArray[np.str_]
SPLITS = ("halves", "held-out", "all")


@dataclass(frozen=True, slots=True)
class Task:
    """One question put to every row that has a label in it.

    A success is a row with the same of `labels`; rows with the same of any of `apart` are left out, and so are those
    with another of `within`. `labels` are empty for rows that take no part.
    """

    name: str
    labels: Names
    apart: tuple[Names, ...]
    within: Names | None = None
    whole: bool = False  # each against all others, whatever the split: halves would part what belongs together

    def relevant(self, queries: NDArray[np.intp], gallery: NDArray[np.intp]) -> Mask:
        """Return bool[queries, gallery] of successes."""
        return np.asarray(self.labels[queries][:, None] == self.labels[gallery])

    def allowed(self, queries: NDArray[np.intp], gallery: NDArray[np.intp]) -> Mask:
        """Return bool[queries, gallery] of what is ranked."""
        allowed = np.ones((len(queries), len(gallery)), np.bool_)
        for names in self.apart:
            allowed &= names[queries][:, None] != names[gallery]
        if self.within is not None:
            allowed &= self.within[queries][:, None] == self.within[gallery]
        return allowed

    def sides(self, rows: Sequence[Row], split: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return which rows ask and which are ranked.

        "halves": the first half of the patients asks the second; else each asks all others.
        """
        takes_part = self.labels != ""
        everyone = np.flatnonzero(takes_part)
        if split != "halves" or self.whole:
            return everyone, everyone
        first = np.array([is_in_first_half(row.patient) for row in rows], np.bool_)
        return np.flatnonzero(takes_part & first), np.flatnonzero(takes_part & ~first)


def taking_part(rows: Sequence[Row], split: str) -> list[Row]:
    """Return the rows that a split looks at: for "held-out" those that nothing is fitted on, else all."""
    return [row for row in rows if split != "held-out" or not is_in_first_half(row.patient)]


def tasks_of(rows: Sequence[Row]) -> Iterator[Task]:
    """Yield the tasks that the columns of these rows allow, the pooled ones first."""
    patients = _names(row.patient for row in rows)
    datasets = _names(row.dataset for row in rows)
    sources = _names(f"{row.dataset}/{row.source}" for row in rows)
    regions = _names(_joined(row.modality, row.body_part) for row in rows)
    findings = _names(_joined(row.dataset, row.label) for row in rows)
    if len(set(regions) - {""}) > 1:
        yield Task("modality and body part", regions, (patients,))
        if len(set(datasets)) > 1:
            yield Task("modality and body part, own set excluded", regions, (patients, datasets))
    if len(set(datasets)) > 1:
        yield Task("set and label", findings, (patients,))
    for dataset in sorted(set(datasets)):
        labels = np.where(datasets == dataset, _names(row.label for row in rows), "")
        if len(set(labels) - {""}) > 1:
            yield Task(f"label in {dataset or 'the set'}", labels, (patients,))
            if len(set(sources[labels != ""])) > 1:
                yield Task(f"label in {dataset or 'the set'}, within one source", labels, (patients,), sources)
    modalities = _names(row.modality for row in rows)
    if (several := _of_several_modalities(patients, modalities)).any():
        yield Task("same patient in another modality", np.where(several, patients, ""), (modalities,), whole=True)


def _names(values: Iterator[str]) -> Names:
    return np.array(list(values), np.str_)


def _joined(first: str, second: str) -> str:
    return f"{first} {second}" if first and second else ""


def _of_several_modalities(patients: Names, modalities: Names) -> Mask:
    """Say of each row whether its patient was examined in more than one modality."""
    seen: dict[str, set[str]] = {}
    for patient, modality in zip(patients, modalities, strict=True):
        if modality:
            seen.setdefault(patient, set()).add(modality)
    return np.array([len(seen.get(patient, ())) > 1 for patient in patients], np.bool_)
