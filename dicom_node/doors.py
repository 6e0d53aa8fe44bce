"""Which queries are questions of similarity, and what is answered to them: doors A, B and C of SIMILARITY.md.

Called by the C-FIND handler and by DICOMweb with a parsed Identifier. The rule: PATIENT, SERIES and IMAGE level stay
ordinary whatever the door, so that a workstation can drill down into a hit.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum

from dicom_node.attribute_search import AttributeSearch, check_hierarchy
from dicom_node.attributes import QueryLevel
from dicom_node.catalog.search import Row
from dicom_node.errors import ExampleUnknown, IdentifierMismatch
from dicom_node.identifier import QUERY_RETRIEVE_LEVEL, Query
from dicom_node.instance import is_uid
from dicom_node.similarity_block import Block, Element
from dicom_node.similarity_search import Ask, Match, Similar, SimilaritySearch

# The keys that choose among the candidates of door B; the others tell which study is the example.
FILTERS = frozenset(
    {
        "ModalitiesInStudy",
        "Modality",
        "StudyDate",
        "PatientSex",
        "PatientBirthDate",
        "InstitutionName",
        "StudyDescription",
        "BodyPartExamined",
    }
)
UNIQUE_KEYS = {
    Element.EXAMPLE_INSTANCE: "SOPInstanceUID",
    Element.EXAMPLE_SERIES: "SeriesInstanceUID",
    Element.EXAMPLE_STUDY: "StudyInstanceUID",
}


class Door(Enum):
    """Where a query came in: the archive's AE title (or /dicom-web), or the similarity one's."""

    ARCHIVE = "archive"
    SIMILAR = "similar"


@dataclass(frozen=True, slots=True)
class Found:
    """One row: texts by keyword, and values of the private block."""

    row: Row
    similarity: Mapping[Element, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered: `service` is `find` or `similar`; `rows` may be read once."""

    service: str
    rows: Iterator[Found]


class Doors:
    """Answers the parsed queries of every door."""

    def __init__(self, attribute_search: AttributeSearch, similarity: SimilaritySearch) -> None:
        """Answer from the two searches."""
        self._attribute_search = attribute_search
        self._similarity = similarity

    def find(self, query: Query, door: Door) -> Answer:
        """Answer a query. Raises Rejected, Unavailable, Corrupt; reading the rows raises Unavailable, Corrupt.

        An example that the archive does not hold is no error: the answer has no row.
        """
        try:
            if query.similarity is not None and query.similarity.example:
                return self._like_example_of(query, query.similarity)
            if door is Door.SIMILAR and query.level is QueryLevel.STUDY and _has_trigger(query):
                return self._like_study_named_by(_without_asterisks(query))
        except ExampleUnknown:
            return Answer("similar", iter(()))
        return self._ordinary(query)

    def _ordinary(self, query: Query) -> Answer:
        return Answer("find", (Found(row) for row in self._attribute_search.find(query)))

    def _like_study_named_by(self, query: Query) -> Answer:
        """Door B: one study named by accession number or UID is the example; several are listed, none is nothing."""
        check_hierarchy(query)
        naming = {keyword: value for keyword, value in query.keys.items() if keyword not in FILTERS}
        named = self._attribute_search.studies(naming, limit=2)
        if len(named) > 1:
            return self._ordinary(query)
        if not named:
            raise ExampleUnknown("no study is so named")
        return self._similar(query, Ask(study_instance_uid=named[0]), FILTERS)

    def _like_example_of(self, query: Query, block: Block) -> Answer:
        """Door C: the most specific UID is the example, the others must agree; all standard keys are filters."""
        if query.level is not QueryLevel.STUDY:
            raise IdentifierMismatch("similarity is answered at STUDY level", QUERY_RETRIEVE_LEVEL)
        check_hierarchy(query)
        element, uid = next(iter(block.example.items()))
        if not self._attribute_search.holds({UNIQUE_KEYS[element]: uid}):
            raise ExampleUnknown("the example is not in the archive")
        if not self._attribute_search.holds({UNIQUE_KEYS[named]: other for named, other in block.example.items()}):
            raise IdentifierMismatch("the example keys contradict each other", element.tag)
        return self._similar(query, _ask(element, uid, block.frame_number), frozenset(query.keys))

    def _similar(self, query: Query, ask: Ask, filters: frozenset[str]) -> Answer:
        keys = {keyword: value for keyword, value in query.keys.items() if keyword in filters and value}
        ask = replace(ask, filter=self._attribute_search.study_filter(keys))
        if query.similarity is not None:
            ask = replace(
                ask,
                rows=query.similarity.maximum_matches,
                space=query.similarity.space,
                minimum_score=query.similarity.minimum_score,
                same_patient=query.similarity.same_patient,
            )
        similar = self._similarity.find(ask)
        rows = self._attribute_search.study_rows(query, [match.study.study_instance_uid for match in similar.matches])
        return Answer("similar", iter(_rows(query, similar, rows)))


def _ask(element: Element, uid: str, frame_number: int | None) -> Ask:
    if element is Element.EXAMPLE_INSTANCE:
        return Ask(sop_instance_uid=uid, frame_number=frame_number)
    if element is Element.EXAMPLE_SERIES:
        return Ask(series_instance_uid=uid)
    return Ask(study_instance_uid=uid)


def _has_trigger(query: Query) -> bool:
    return is_uid(query.keys.get("StudyInstanceUID", "")) or bool(query.keys.get("AccessionNumber", "").strip("* "))


def _without_asterisks(query: Query) -> Query:
    """Strip what workstations put around a typed accession number."""
    accession = query.keys.get("AccessionNumber")
    if accession is None:
        return query
    return replace(query, keys={**query.keys, "AccessionNumber": accession.strip("* ")})


def _rows(query: Query, similar: Similar, rows: Mapping[str, Row]) -> list[Found]:
    """Join rank and score to the catalog's rows; a study deleted meanwhile is left out."""
    answered_at = datetime.now(UTC).strftime("%Y%m%d%H%M%S.%f+0000")
    example = "" if query.similarity is None else query.similarity.example.get(Element.EXAMPLE_STUDY, "")
    return [
        Found(
            {**rows[match.study.study_instance_uid], "StudyComments": _comment(match, similar)},
            _block_values(match, similar, answered_at) | ({Element.EXAMPLE_STUDY: example} if example else {}),
        )
        for match in similar.matches
        if match.study.study_instance_uid in rows
    ]


def _comment(match: Match, similar: Similar) -> str:
    partial = " (partial)" if similar.partial else ""
    return f"SIM #{match.rank:02d} {match.score:.3f} {similar.space.model}{partial}"


def _block_values(match: Match, similar: Similar, answered_at: str) -> dict[Element, str]:
    return {
        Element.SPACE: similar.space.name,
        Element.RANK: str(match.rank),
        Element.SCORE: f"{match.score:.6f}",
        Element.METRIC: similar.space.metric.upper(),
        Element.MATCHED_SERIES: match.series_instance_uid,
        Element.MATCHED_INSTANCE: match.sop_instance_uid,
        Element.MATCHED_FRAME: str(match.frame_number) if match.frame_number else "",
        Element.COMPLETENESS: "PARTIAL" if similar.partial else "COMPLETE",
        Element.INDEX_DATETIME: answered_at,
        Element.STUDIES_SEARCHED: str(similar.studies_searched),
        Element.QUERY_IDENTIFIER: similar.query_id,
    }
