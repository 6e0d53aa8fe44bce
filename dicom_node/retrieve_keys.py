"""Identifiers of C-MOVE and C-GET: from a data set to the unique keys that say what is wanted. Pure.

Called by the retrieve services. The rule (PS3.4 C.4.2.2.1): one value of each unique key above the level, one or a
list of UIDs at the level, and nothing that would mean less than the whole of what they name.
"""

from pydicom import Dataset
from pydicom.multival import MultiValue

from dicom_node.attribute_search import check_hierarchy
from dicom_node.attributes import UNIQUE_KEY, QueryLevel
from dicom_node.errors import IdentifierMismatch, Unavailable
from dicom_node.identifier import QUERY_RETRIEVE_LEVEL, Model, Query, tag_of
from dicom_node.instance import is_uid

MAXIMUM_UIDS = 10_000


def parse(identifier: Dataset, model: Model) -> Query:
    """Read an Identifier; the query's keys are the unique keys from the top of the model down to the level.

    Raises IdentifierMismatch, or Unavailable when more UIDs are listed than are looked up at once.
    """
    level = _level(identifier)
    top = QueryLevel.PATIENT if model is Model.PATIENT_ROOT else QueryLevel.STUDY
    keys = {UNIQUE_KEY[each]: _text(identifier, each) for each in QueryLevel if min(top, level) <= each <= level}
    query = Query(model, level, keys)
    check_hierarchy(query)
    _check_level(keys[UNIQUE_KEY[level]], level)
    for below in QueryLevel:
        # Answered with all of the level, it would send what was not asked for.
        if below > level and _text(identifier, below):
            raise IdentifierMismatch("a unique key below the level has a value", tag_of(UNIQUE_KEY[below]))
    return query


def _level(identifier: Dataset) -> QueryLevel:
    try:
        return QueryLevel[str(identifier.get("QueryRetrieveLevel", ""))]
    except Exception as error:  # KeyError, or whatever pydicom raises over a damaged value
        raise IdentifierMismatch("Query/Retrieve Level is absent or unknown", QUERY_RETRIEVE_LEVEL) from error


def _text(identifier: Dataset, level: QueryLevel) -> str:
    keyword = UNIQUE_KEY[level]
    try:
        value = identifier.get(keyword)
    except Exception as error:  # pydicom raises whatever a damaged value leads it to
        raise IdentifierMismatch("a key's value cannot be read", tag_of(keyword)) from error
    values = value if isinstance(value, MultiValue | list) else [value]
    return "\\".join(str(each) for each in values if each is not None).strip(" \0")


def _check_level(value: str, level: QueryLevel) -> None:
    values = value.split("\\")
    if len(values) > MAXIMUM_UIDS:
        raise Unavailable(f"more than {MAXIMUM_UIDS} UIDs at once")
    one_patient = len(values) == 1 and value and not any(character in value for character in "*?")
    named = one_patient if level is QueryLevel.PATIENT else all(map(is_uid, values))
    if not named:
        raise IdentifierMismatch(f"{UNIQUE_KEY[level]} must name what is wanted", tag_of(UNIQUE_KEY[level]))
