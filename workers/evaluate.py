"""Use case: how well does an embedder find what is alike in a folder of labelled files.

Run by `python -m workers evaluate`. Reads and embeds every file once, ranks by cosine, and compares with chance and
with 24 x 24 grey pixels; then changes some pictures and looks whether they are still found.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers import evaluation
from workers.embedders.port import Embedder, Vectors
from workers.errors import Rejected
from workers.evaluation import MEASURES, Doubles
from workers.evaluation_tasks import Task, tasks_of
from workers.labelled import LabelledFolder, Row
from workers.pixels.canvas import Floats, to_square
from workers.pixels.frames import FrameMeta
from workers.pixels.pictures import canonical_frame
from workers.transforms import TRANSFORMS

_BATCH = 32
_THUMBNAIL = 24
_QUERIES_AT_ONCE = 256
_NEIGHBOURS_SHOWN = 8
_MOST_LABELS = 60


@dataclass(frozen=True, slots=True)
class Embedded:
    """The rows that have a vector, their vectors and grey thumbnails (both of unit length), and what had none."""

    rows: list[Row]
    vectors: Vectors
    thumbnails: Vectors
    rejected: Counter[str]


@dataclass(frozen=True, slots=True)
class Value:
    """The mean of a measure, its 95 % interval, and the same measure of grey pixels and of chance."""

    value: float
    low: float
    high: float
    pixels: float
    chance: float


@dataclass(frozen=True, slots=True)
class Example:
    """A query and what came first, as row numbers, and which of that was a success."""

    query: int
    neighbours: Sequence[int]
    right: Sequence[bool]


@dataclass(frozen=True, slots=True)
class Score:
    """A task's measures by name, over all queries; by label the means alone; and queries with their neighbours.

    `ranked` is how many rows were in the gallery.
    """

    task: str
    queries: int
    ranked: int
    values: Mapping[str, Value]
    by_label: Mapping[str, Mapping[str, float]]
    examples: Sequence[Example]


@dataclass(frozen=True, slots=True)
class Sturdiness:
    """Of pictures that went through one transform: how often the same came first, how many of ten neighbours stayed,
    and the mean cosine; a picture that has no vector any more counts as lost.
    """

    transform: str
    pictures: int
    same_first: float
    neighbours_kept: float
    cosine: float


def embed_rows(folder: LabelledFolder, rows: Sequence[Row], embedder: Embedder) -> Embedded:
    """Embed the files of these rows. Raises Rejected when none of them has a frame, Unavailable when one is missing."""
    rejected: Counter[str] = Counter()
    kept: list[Row] = []
    vectors, thumbnails, batch = list[Vectors](), list[Floats](), list[Floats]()
    for row, frame in folder.frames(rows, rejected):
        kept.append(row)
        batch.append(frame)
        thumbnails.append(to_square(frame, _THUMBNAIL).ravel())
        if len(batch) == _BATCH:
            vectors.append(_vectors(embedder, batch, kept[-_BATCH:]))
            batch.clear()
    if not kept:
        raise Rejected("nothing_to_embed", f"evaluate {len(rows)} rows: none has a picture")
    if batch:
        vectors.append(_vectors(embedder, batch, kept[-len(batch) :]))
    grey = np.stack(thumbnails)
    return Embedded(kept, np.concatenate(vectors), grey / np.linalg.norm(grey, axis=1, keepdims=True), rejected)


def _vectors(embedder: Embedder, frames: Sequence[Floats], rows: Sequence[Row]) -> Vectors:
    metas = [FrameMeta(modality=row.modality, body_part=row.body_part) for row in rows]
    return embedder.embed(np.stack(frames), metas)


def scores(embedded: Embedded, split: str) -> list[Score]:
    """Measure every task that the rows allow; tasks without a single query that has an answer are left out."""
    found = (_score(task, embedded, split) for task in tasks_of(embedded.rows))
    return [score for score in found if score is not None]


def _score(task: Task, embedded: Embedded, split: str) -> Score | None:
    queries, gallery = task.sides(embedded.rows, split)
    by_vector = _measured(task, embedded.vectors, queries, gallery)
    answered = ~np.isnan(by_vector[:, 0])
    if not answered.any():
        return None
    by_pixels = _measured(task, embedded.thumbnails, queries, gallery)[answered]
    by_chance = _chance(task, queries, gallery)[answered]
    asked, measured = queries[answered], by_vector[answered]
    return Score(
        task=task.name,
        queries=len(asked),
        ranked=len(gallery),
        values=_values(measured, by_pixels, by_chance, _patients(embedded.rows)[asked]),
        by_label=_by_label(task.labels[asked], measured),
        examples=[_example(task, embedded.vectors, query, gallery) for query in _shown(asked, measured)],
    )


def _measured(task: Task, vectors: Vectors, queries: NDArray[np.intp], gallery: NDArray[np.intp]) -> Doubles:
    def part_measured(part: NDArray[np.intp]) -> Doubles:
        similarity = vectors[part] @ vectors[gallery].T
        return evaluation.measure(similarity, task.relevant(part, gallery), task.allowed(part, gallery))

    return _in_parts(part_measured, queries)


def _chance(task: Task, queries: NDArray[np.intp], gallery: NDArray[np.intp]) -> Doubles:
    def part_chance(part: NDArray[np.intp]) -> Doubles:
        return evaluation.chance(task.relevant(part, gallery), task.allowed(part, gallery))

    return _in_parts(part_chance, queries)


def _in_parts(function: Callable[[NDArray[np.intp]], Doubles], queries: NDArray[np.intp]) -> Doubles:
    """Call for some queries at a time: a whole matrix of all pairs would not fit."""
    starts = range(0, len(queries), _QUERIES_AT_ONCE)
    parts = [function(queries[start : start + _QUERIES_AT_ONCE]) for start in starts]
    return np.concatenate(parts) if parts else np.empty((0, len(MEASURES)))


def _patients(rows: Sequence[Row]) -> NDArray[np.str_]:
    return np.array([row.patient for row in rows], np.str_)


def _values(measured: Doubles, pixels: Doubles, chance: Doubles, patients: NDArray[np.str_]) -> dict[str, Value]:
    values = {}
    for column, name in enumerate(MEASURES):
        low, high = evaluation.interval(measured[:, column], patients)
        means = (float(each[:, column].mean()) for each in (measured, pixels, chance))
        value, by_pixels, by_chance = means
        values[name] = Value(value, low, high, by_pixels, by_chance)
    return values


def _by_label(labels: NDArray[np.str_], measured: Doubles) -> dict[str, dict[str, float]]:
    """Return the means and the number of queries of each label; none where labels are as many as patients."""
    names = sorted(set(labels))
    if len(names) > _MOST_LABELS:
        return {}
    table = {}
    for name in names:
        means = measured[labels == name].mean(axis=0)
        table[str(name)] = {"queries": int((labels == name).sum()), **dict(zip(MEASURES, means.tolist(), strict=True))}
    return table


def _shown(queries: NDArray[np.intp], measured: Doubles) -> list[int]:
    """Choose three queries evenly from the order of rows, and the three that went worst."""
    even = [int(queries[len(queries) * part // 6]) for part in (1, 3, 5)]
    worst = [int(query) for query in queries[np.argsort(measured[:, MEASURES.index("mAP@10")], kind="stable")[:3]]]
    return list(dict.fromkeys(even + worst))


def _example(task: Task, vectors: Vectors, query: int, gallery: NDArray[np.intp]) -> Example:
    one = np.array([query])
    ranked = gallery[task.allowed(one, gallery)[0]]
    first = ranked[np.argsort(-(vectors[ranked] @ vectors[query]), kind="stable")[:_NEIGHBOURS_SHOWN]]
    return Example(query, first.tolist(), task.relevant(one, first)[0].tolist())


def sturdiness(folder: LabelledFolder, embedded: Embedded, embedder: Embedder, pictures: int) -> list[Sturdiness]:
    """Put so many pictures, chosen by a digest of their names, through every transform, and search each among all."""
    order = sorted(range(len(embedded.rows)), key=lambda number: _digest(embedded.rows[number].file))
    chosen = order[:pictures]
    return [_sturdiness(name, folder, embedded, embedder, chosen) for name in TRANSFORMS] if chosen else []


def _digest(file: str) -> bytes:
    return hashlib.sha256(file.encode()).digest()


def _sturdiness(
    name: str, folder: LabelledFolder, embedded: Embedded, embedder: Embedder, chosen: Sequence[int]
) -> Sturdiness:
    first, kept, cosines = 0.0, 0.0, 0.0
    for number in chosen:
        row = embedded.rows[number]
        try:
            frame = canonical_frame(np.ascontiguousarray(TRANSFORMS[name](folder.grey(row))))
        except Rejected:
            continue  # nothing is left on it: lost, and counted so by the division below
        similarity = embedded.vectors @ _vectors(embedder, [frame], [row])[0]
        first += similarity[number] >= similarity.max()
        kept += evaluation.neighbours_kept(embedded.vectors @ embedded.vectors[number], similarity, number)
        cosines += float(similarity[number])
    return Sturdiness(name, len(chosen), float(first) / len(chosen), kept / len(chosen), cosines / len(chosen))
