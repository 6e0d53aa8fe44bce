"""Use case: ordinary hierarchical query, PS3.4 C.4.1.3.1, at all four levels of both information models.

Called by `doors` for ordinary queries, and for what the filters of a similarity query let pass. The rule: a query is
answered within the row limit or says that it was not.
"""

from collections.abc import Iterator, Sequence

from dicom_node.attributes import UNIQUE_KEY, QueryLevel
from dicom_node.catalog.repository import Catalog
from dicom_node.catalog.search import Row, find_rows, find_studies, is_held, rows_of_studies, study_matches
from dicom_node.errors import IdentifierMismatch, Unavailable
from dicom_node.identifier import Model, Query, tag_of
from dicom_node.settings import DicomSettings
from dicom_node.similarity_search import StudyFilter
from index_service.port import Condition

# What the index knows of a record as the catalog does of its study or series.
INDEX_ATTRIBUTES = {"PatientSex": "sex", "StudyDate": "study_date", "Modality": "modality"}


class AttributeSearch:
    """Answers queries from the catalog. One per process; safe for many threads."""

    def __init__(self, catalog: Catalog, settings: DicomSettings) -> None:
        """Search `catalog`; give up after the settings' `maximum_rows`."""
        self._catalog = catalog
        self._settings = settings

    def find(self, query: Query) -> Iterator[Row]:
        """Return the rows of a query: texts by keyword, in the order of receipt.

        Raises IdentifierMismatch at once for keys that break the hierarchy; while iterating, Unavailable when the
        catalog is away or when there are more rows than are given out.
        """
        check_hierarchy(query)
        return self._limited(query)

    def study_rows(self, query: Query, uids: Sequence[str]) -> dict[str, Row]:
        """Return what a STUDY query asks for of these studies, by Study Instance UID, whatever it matches on."""
        return rows_of_studies(self._catalog, uids, query.keys)

    def studies(self, keys: Row, limit: int | None = None) -> list[str]:
        """List the Study Instance UIDs that match keys of studies and series, in the order of receipt."""
        return find_studies(self._catalog, keys, limit)

    def holds(self, uids: Row) -> bool:
        """Tell whether some instance lies in all of these: UIDs by the keyword of their level's unique key."""
        return is_held(self._catalog, QueryLevel.IMAGE, uids)

    def study_filter(self, keys: Row) -> StudyFilter:
        """Turn matching keys into a filter of similarity: what the index knows exactly to it, the rest by UID.

        Modality is asked of the series that are compared; Modalities in Study of the study as a whole.
        """
        wanted = {keyword: value for keyword, value in keys.items() if value.strip("* ")}
        by_index = {keyword: _index_condition(keyword, value) for keyword, value in wanted.items()}
        rest = {keyword: value for keyword, value in wanted.items() if by_index[keyword] is None}
        return StudyFilter(
            conditions=tuple(condition for condition in by_index.values() if condition is not None),
            studies=frozenset(self.studies(rest)) if rest else None,
            passes=lambda study: study_matches(self._catalog, study.study_instance_uid, wanted),
        )

    def _limited(self, query: Query) -> Iterator[Row]:
        left = self._settings.maximum_rows
        for row in find_rows(self._catalog, query.level, query.keys):
            if left == 0:
                raise Unavailable(f"more than {self._settings.maximum_rows} matches: narrow the query")
            left -= 1
            yield row


def check_hierarchy(query: Query) -> None:
    """Raise IdentifierMismatch unless each unique key above the level names exactly one entity.

    PS3.4 C.4.1.3.1.1. In the Study Root model the patient is no level above; asked for all the same, as 3D Slicer
    does, the PATIENT level is answered.
    """
    top = QueryLevel.PATIENT if query.model is Model.PATIENT_ROOT else QueryLevel.STUDY
    for level in QueryLevel:
        if top <= level < query.level:
            keyword = UNIQUE_KEY[level]
            value = query.keys.get(keyword, "")
            if not value or any(character in value for character in "*?\\"):
                raise IdentifierMismatch(f"{keyword} must name one {level.name.lower()}", tag_of(keyword))


def _index_condition(keyword: str, value: str) -> Condition | None:
    """Translate a key that the index matches exactly as the catalog does; None when it does not."""
    name = INDEX_ATTRIBUTES.get(keyword)
    if name is None or "*" in value or "?" in value:
        return None
    if keyword == "StudyDate" and "-" in value:
        first, _, last = value.partition("-")
        plain = all(bound == "" or (len(bound) == 8 and bound.isdigit()) for bound in (first, last))
        return Condition(name, "range", (first, last)) if plain and "\\" not in value and (first or last) else None
    return Condition(name, "in", tuple(value.split("\\")))
