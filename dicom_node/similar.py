"""The similarity question as a person types it, and its answer as JSON: for the page, the REST door and the command.

The rule: an answer discloses what is listed in `as_json` and no more; no Patient's Name among it.
"""

from typing import Any

from dicom_node.catalog.repository import Catalog, StudyRecord
from dicom_node.errors import ExampleUnknown, Rejected
from dicom_node.instance import is_uid
from dicom_node.similarity_search import Match, Similar

LONGEST_NAME = 64


def named_studies(catalog: Catalog, text: str) -> list[str]:
    """Return the Study Instance UIDs that `text` names: a UID, else an accession number, which may name several.

    Raises Rejected for what can be neither, ExampleUnknown when the catalog knows none.
    """
    name = text.strip().strip("*")
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise Rejected("neither a Study Instance UID nor an accession number")
    if is_uid(name) and catalog.studies([name]):
        return [name]
    if studies := catalog.studies_with_accession(name):
        return studies
    raise ExampleUnknown("no study of this UID or accession number is in the archive")


def as_json(similar: Similar) -> dict[str, Any]:
    """Return an answer as the JSON object of `GET /api/studies/{uid}/similar`, the example beside the matches."""
    return {
        "example": next((study_as_json(match.study) for match in similar.matches if match.rank == 0), None),
        "space": similar.space.name,
        "partial": similar.partial,
        "studies_searched": similar.studies_searched,
        "query_id": similar.query_id,
        "matches": [_match_as_json(match) for match in similar.matches if match.rank > 0],
    }


def _match_as_json(match: Match) -> dict[str, Any]:
    return {
        "rank": match.rank,
        "score": round(match.score, 4),
        **study_as_json(match.study),
        "matched": {
            "series_instance_uid": match.series_instance_uid,
            "sop_instance_uid": match.sop_instance_uid,
            "frame_number": match.frame_number,
        },
    }


def study_as_json(study: StudyRecord) -> dict[str, Any]:
    """Return what is shown of a study."""
    columns = study.columns
    return {
        "study_instance_uid": study.study_instance_uid,
        "accession_number": columns["accession_number"],
        "patient_id": columns["patient_id"],
        "study_date": columns["study_date"],
        "modalities": list(study.modalities),
        "study_description": columns["study_description"],
    }
