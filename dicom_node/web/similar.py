"""GET /api/studies/{uid}/similar: which studies look like this one, for scripts."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BeforeValidator

from dicom_node.errors import Rejected
from dicom_node.instance import is_uid
from dicom_node.similar import as_json
from dicom_node.similarity_search import Ask
from dicom_node.web.parts import Parts

router = APIRouter()
SamePatient = Annotated[Literal["", "INCLUDE", "EXCLUDE", "ONLY"], BeforeValidator(str.upper)]
Matches = Annotated[int | None, Query(ge=1, le=100, description="how many matches, the example not counted")]


@router.get("/api/studies/{uid}/similar")
def similar_studies(
    uid: str, parts: Parts, k: Matches = None, space: str = "", same_patient: SamePatient = ""
) -> dict[str, Any]:
    """Rank the studies that look like study `uid`; waits up to 5 s for one that is just being embedded."""
    if not is_uid(uid):
        raise Rejected("the Study Instance UID is no UID")
    return as_json(parts.similarity.find(Ask(uid, rows=rows_for(k), space=space, same_patient=same_patient)))


def rows_for(matches: int | None) -> int | None:
    """Return the rows to ask for, the example's own among them; None is the node's default."""
    return None if matches is None else matches + 1
