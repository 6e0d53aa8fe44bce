"""Use case: what looks like this. One engine behind every door: C-FIND, DICOMweb, REST, the command line.

Asks the index by key, never reads a pixel and loads no model, then takes the attributes of the hits from the catalog.
The rule: an answer says how complete it is, and rows come in one total order: the example first, then best first.
"""

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dicom_node import metrics
from dicom_node.catalog.models import EmbeddingState
from dicom_node.catalog.repository import Catalog, InstanceRecord, StudyRecord
from dicom_node.errors import (
    ExampleNotEmbeddable,
    ExampleNotIndexed,
    ExampleUnknown,
    Rejected,
    SpaceUnknown,
    Unavailable,
)
from dicom_node.instance import patient_key
from dicom_node.settings import SimilaritySettings
from index_service.port import Answer, Condition, Example, Filter, Neighbor, Query, VectorIndex, Vectors
from index_service.vector_space import VectorSpace

POLL_S = 0.05
SPARE_ROWS = 8


@dataclass(frozen=True, slots=True)
class StudyFilter:
    """Which studies may be answered: conditions the index knows, and the same asked of a study's record.

    `conditions` are on the index's attributes; `studies`, when not None, names every study that passes the rest.
    """

    conditions: tuple[Condition, ...] = ()
    studies: frozenset[str] | None = None
    passes: Callable[[StudyRecord], bool] = field(default=lambda _: True)


@dataclass(frozen=True, slots=True)
class Ask:
    """A similarity question. The example is named by exactly one UID, with a frame (from 1) for an instance, or is
    given as `vectors` (float32[n, d]) of a `modality`. `rows` counts the example's own row, where there is one.
    """

    study_instance_uid: str = ""
    series_instance_uid: str = ""
    sop_instance_uid: str = ""
    frame_number: int | None = None
    vectors: Vectors | None = None
    modality: str = ""
    rows: int | None = None
    space: str = ""
    minimum_score: float | None = None
    same_patient: str = ""
    filter: StudyFilter = StudyFilter()


@dataclass(frozen=True, slots=True)
class Match:
    """One row: rank (0 is the example itself), score (0 to 1, higher is nearer), record, and where it matched best."""

    rank: int
    score: float
    study: StudyRecord
    series_instance_uid: str = ""
    sop_instance_uid: str = ""
    frame_number: int = 0


@dataclass(frozen=True, slots=True)
class Similar:
    """The answer to an `Ask`."""

    query_id: str
    space: VectorSpace
    matches: tuple[Match, ...]
    studies_searched: int
    partial: bool


class SimilaritySearch:
    """Answers similarity questions. One per process; safe for many threads."""

    def __init__(self, catalog: Catalog, index: VectorIndex, settings: SimilaritySettings) -> None:
        """Answer from `index`, with the attributes in `catalog`."""
        self._catalog = catalog
        self._index = index
        self._settings = settings
        self._stopped = threading.Event()

    def close(self) -> None:
        """End the waits for examples that are being embedded."""
        self._stopped.set()

    @metrics.SIMILARITY_SECONDS.time()
    def find(self, ask: Ask) -> Similar:
        """Answer `ask`. Raises ExampleUnknown, ExampleNotIndexed, ExampleNotEmbeddable, SpaceUnknown, Unavailable."""
        space = self._space(ask.space)
        rows = min(ask.rows or self._settings.default_rows, self._settings.maximum_rows)
        own = None if ask.vectors is not None else self._own_study(ask)
        first = [] if own is None else self._example_row(ask, own)
        answer = self._search(ask, space, own, rows - len(first))
        if answer.partial:
            metrics.SIMILARITY_PARTIAL.inc()
        return Similar(
            query_id=uuid.uuid4().hex[:16],
            space=space,
            matches=(*first, *self._matches(answer.neighbors)[: rows - len(first)]),
            studies_searched=answer.groups_searched,
            partial=answer.partial,
        )

    def _space(self, name: str) -> VectorSpace:
        spaces = {space.name: space for space in self._index.spaces()}
        wanted = name or self._settings.space
        if wanted in spaces:
            return spaces[wanted]
        if wanted or len(spaces) > 1:
            raise SpaceUnknown("no such vector space" if wanted else "several vector spaces, and no default is set")
        if not spaces:
            raise Unavailable("nothing has been embedded yet")
        return next(iter(spaces.values()))

    def _own_study(self, ask: Ask) -> StudyRecord:
        """Return the example's study, once something of the example is in the index."""
        deadline = time.monotonic() + self._settings.wait_for_example_s
        instances = self._instances(ask)
        while (state := _state(instances)) is EmbeddingState.PENDING:
            self._catalog.hurry(instances[0].study_instance_uid)
            if time.monotonic() > deadline or self._stopped.wait(POLL_S):
                raise ExampleNotIndexed("the example is not indexed yet")
            instances = self._instances(ask)
        if state is not EmbeddingState.EMBEDDED:
            raise ExampleNotEmbeddable(f"the example has no vector: {instances[0].reason or state.value}")
        uid = instances[0].study_instance_uid
        return self._catalog.studies([uid])[uid]

    def _instances(self, ask: Ask) -> list[InstanceRecord]:
        column, uid = _named(ask)
        instances = self._catalog.instances(column, uid)
        if not instances:
            raise ExampleUnknown("the example is not in the archive")
        return instances

    def _example_row(self, ask: Ask, own: StudyRecord) -> list[Match]:
        chosen = ask.filter
        passes = chosen.passes(own) and (chosen.studies is None or own.study_instance_uid in chosen.studies)
        return [Match(0, 1.0, own, ask.series_instance_uid, ask.sop_instance_uid)] if passes else []

    def _search(self, ask: Ask, space: VectorSpace, own: StudyRecord | None, k: int) -> Answer:
        return self._index.search(
            Query(
                space=space.name,
                k=max(1, k) + SPARE_ROWS,
                example=None if own is None else self._example(ask, own),
                vectors=ask.vectors,
                attributes={"modality": ask.modality},
                comparable=("modality",),
                filter=Filter(
                    conditions=(*ask.filter.conditions, *self._patient_condition(ask, own)),
                    groups=ask.filter.studies,
                    excluded_groups=frozenset() if own is None else frozenset({own.study_instance_uid}),
                ),
                minimum_score=ask.minimum_score,
            )
        )

    def _example(self, ask: Ask, own: StudyRecord) -> Example:
        part, key = ask.series_instance_uid, ask.sop_instance_uid
        return Example(own.study_instance_uid, part or None, key or None, ask.frame_number)

    def _patient_condition(self, ask: Ask, own: StudyRecord | None) -> Sequence[Condition]:
        wish = ask.same_patient or self._settings.same_patient
        patient = "" if own is None else patient_key(own.columns["patient_id"], own.columns["issuer_of_patient_id"])
        if wish == "INCLUDE" or not patient:
            return ()
        return (Condition("patient", "in" if wish == "ONLY" else "not_in", (patient,)),)

    def _matches(self, neighbors: Sequence[Neighbor]) -> list[Match]:
        """Join the catalog's records; a neighbor the catalog no longer knows is left out, ranks stay without gaps."""
        studies = self._catalog.studies([neighbor.group for neighbor in neighbors])
        known = [neighbor for neighbor in neighbors if neighbor.group in studies]
        return [
            Match(rank, score_of(hit.distance), studies[hit.group], hit.part, hit.key, hit.position)
            for rank, hit in enumerate(known, 1)
        ]


def score_of(distance: float) -> float:
    """Turn a distance (0 to 2, lower is nearer) into a score (0 to 1, higher is nearer)."""
    return min(1.0, max(0.0, 1.0 - distance))


def _named(ask: Ask) -> tuple[str, str]:
    named = {
        "study_instance_uid": ask.study_instance_uid,
        "series_instance_uid": ask.series_instance_uid,
        "sop_instance_uid": ask.sop_instance_uid,
    }
    given = [(column, uid) for column, uid in named.items() if uid]
    if len(given) != 1:
        raise Rejected("name exactly one example")
    return given[0]


def _state(instances: Sequence[InstanceRecord]) -> EmbeddingState:
    """How far an example is: embedded once one instance is, else pending while one is, else as the first ended."""
    states = {instance.embedding_state for instance in instances}
    for state in (EmbeddingState.EMBEDDED, EmbeddingState.PENDING):
        if state in states:
            return state
    return instances[0].embedding_state
