"""Identifiers of queries: from a C-FIND's data set to a typed question, and from a row to a response. Pure.

Called by every door that speaks DICOM's query/retrieve. The rule: a response holds what was asked and can be
answered, besides level, Retrieve AE Title, Specific Character Set and Instance Availability; nothing else.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydicom import DataElement, Dataset, config
from pydicom.charset import python_encoding
from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag

from dicom_node import similarity_block
from dicom_node.attributes import BY_KEYWORD, COMPUTED_BY_KEYWORD, Attribute, QueryLevel
from dicom_node.errors import IdentifierMismatch
from dicom_node.similarity_block import Block, Element

MAXIMUM_KEY_CHARACTERS = 1024
UTF_8 = "ISO_IR 192"
TAG_OF = {keyword: Tag(keyword) for keyword in (*BY_KEYWORD, *COMPUTED_BY_KEYWORD)}
QUERY_RETRIEVE_LEVEL = Tag("QueryRetrieveLevel")
# Said about the query itself, not asked about a match.
_NOT_ASKED = frozenset(
    {
        "QueryRetrieveLevel",
        "SpecificCharacterSet",
        "RetrieveAETitle",
        "InstanceAvailability",
        "TimezoneOffsetFromUTC",
        "QueryRetrieveView",
    }
)
# Those without code extension whose codec in pydicom holds nothing but the set: not ISO_IR 13, ISO 2022 or none.
_SINGLE_CODE_SETS = ("ISO_IR 1", "ISO_IR 203", "GB18030", "GBK")
_MATCHABLE_COMPUTED = frozenset({"ModalitiesInStudy", "SOPClassesInStudy"})


class Model(Enum):
    """The information models of PS3.4 C.6."""

    PATIENT_ROOT = "patient"
    STUDY_ROOT = "study"


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed Identifier.

    `keys` maps the keyword of each supported key to its value: multiple values joined by a backslash, empty for
    universal matching. `similarity` is the private block, None without one. `ignored` tells that some
    optional key is not supported at this level.
    """

    model: Model
    level: QueryLevel
    keys: Mapping[str, str]
    similarity: Block | None = None
    ignored: bool = False
    character_set: str = ""


def parse(identifier: Dataset, model: Model) -> Query:
    """Read an Identifier. Raises IdentifierMismatch for an absent or unknown level and for values nobody can mean."""
    level = _level(identifier)
    keys: dict[str, str] = {}
    ignored = False
    for tag in list(identifier.keys()):
        keyword = keyword_for_tag(tag)
        if tag.group == similarity_block.GROUP or keyword in _NOT_ASKED or tag.element == 0:
            continue
        value = "" if _attribute(keyword) is None else _value(identifier, tag)
        if _is_supported(keyword, level, value):
            keys[keyword] = value
        else:
            ignored = True
    return Query(
        model=model,
        level=level,
        keys=keys,
        similarity=similarity_block.read(identifier),
        ignored=ignored,
        character_set=_text(identifier.get("SpecificCharacterSet", "")),
    )


def build(query: Query, row: Mapping[str, str], similarity: Mapping[Element, str], retrieve_ae_title: str) -> Dataset:
    """Make the response Identifier of a row: texts by keyword, and by element of the private block when asked for."""
    response = Dataset()
    for keyword in query.keys:
        attribute = _attribute(keyword)
        if attribute is not None:
            response.add(_element(TAG_OF[keyword], attribute.vr, row.get(keyword, "")))
    if query.similarity is not None:
        similarity_block.write(response, query.similarity, similarity)
    response.QueryRetrieveLevel = query.level.name
    response.RetrieveAETitle = retrieve_ae_title
    response.InstanceAvailability = "ONLINE"
    if character_set := _character_set(query.character_set, row.values()):
        response.SpecificCharacterSet = character_set.split("\\")
    return response


def _level(identifier: Dataset) -> QueryLevel:
    text = _text(identifier.get("QueryRetrieveLevel", ""))
    try:
        return QueryLevel[text]
    except KeyError as error:
        raise IdentifierMismatch("Query/Retrieve Level is absent or unknown", QUERY_RETRIEVE_LEVEL) from error


def _attribute(keyword: str) -> Attribute | None:
    return BY_KEYWORD.get(keyword) or COMPUTED_BY_KEYWORD.get(keyword)


def _is_supported(keyword: str, level: QueryLevel, value: str) -> bool:
    """Whether a key means something at this level: its own, those above, and series' attributes of a study.

    Workstations ask for Modality and Body Part Examined of studies; it is answered as Modalities in Study is.
    """
    attribute = _attribute(keyword)
    if attribute is None:
        return False
    if keyword in COMPUTED_BY_KEYWORD and keyword not in _MATCHABLE_COMPUTED and value:
        return False
    of_series = attribute.level is QueryLevel.SERIES and keyword in BY_KEYWORD
    return attribute.level <= level or (level is QueryLevel.STUDY and of_series)


def _value(identifier: Dataset, tag: BaseTag) -> str:
    """Return a key's text. Raises IdentifierMismatch when it is too long, or a sequence."""
    raw = identifier.get_item(tag)
    if isinstance(raw, RawDataElement) and raw.value is not None and raw.VR in (None, "IS", "DS", "UN"):
        # A matching key may hold what is no number, like `*`; and senders without our dictionary write UN.
        vr = raw.VR or ""
        attribute = _attribute(keyword_for_tag(tag))
        if vr in ("IS", "DS", "UN") or (attribute is not None and attribute.vr in ("IS", "DS")):
            return _checked(raw.value.decode("ascii", "replace"), tag)
    try:
        value = identifier[tag].value
    except Exception as error:  # pydicom raises whatever a damaged value leads it to
        raise IdentifierMismatch("a key's value cannot be read", tag) from error
    return _checked(_text(value), tag)


def _checked(text: str, tag: BaseTag) -> str:
    if len(text) > MAXIMUM_KEY_CHARACTERS:
        raise IdentifierMismatch("a key's value is too long", tag)
    return text.replace("\0", "").strip(" ")


def _text(value: Any) -> str:
    if value is None:
        return ""
    values: Iterable[Any] = value if isinstance(value, MultiValue | list) else [value]
    return "\\".join(str(item) for item in values).strip(" \0")


def _element(tag: BaseTag, vr: str, text: str) -> DataElement:
    """Make an element of stored text; what is no value of its VR (damaged files are kept as they are) becomes empty."""
    value: Any = text if vr in ("LT", "ST", "UT") or "\\" not in text else text.split("\\")
    try:
        if vr == "US":
            value = int(text) if text else None
        return DataElement(tag, vr, value, validation_mode=config.IGNORE)
    except (ValueError, TypeError, OverflowError):
        return DataElement(tag, vr, None)


def _character_set(requested: str, texts: Iterable[str]) -> str:
    """Choose the answer's character set: the request's where it can express the values, else UTF-8."""
    joined = "".join(texts)
    if joined.isascii():
        return requested if all(term in python_encoding for term in requested.split("\\")) else ""
    if requested == "ISO_IR 13" or not requested.startswith(_SINGLE_CODE_SETS):
        return UTF_8
    try:
        joined.encode(python_encoding.get(requested, "ascii"))
    except UnicodeEncodeError:
        return UTF_8
    return requested


def tag_of(keyword: str) -> int:
    """Return the tag of a DICOM keyword of our tables."""
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return tag
