"""The private block of the similarity query (SIMILARITY.md): its elements, and its values read and written. Pure.

Registers the block with pydicom when imported, else Implicit VR would yield UN bytes. The rule: an element counts
only under our private creator, and is answered only when creator and element were asked for.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydicom import DataElement, Dataset
from pydicom.datadict import add_private_dict_entries
from pydicom.tag import BaseTag, Tag

from dicom_node.errors import IdentifierMismatch
from dicom_node.instance import is_uid

GROUP = 0x5349
CREATOR = "DICOM-NODE SIMILARITY 1"


class Element(Enum):
    """The elements by their last byte, with VR and name."""

    EXAMPLE_STUDY = (0x01, "UI", "Example Study Instance UID")
    EXAMPLE_SERIES = (0x02, "UI", "Example Series Instance UID")
    EXAMPLE_INSTANCE = (0x03, "UI", "Example SOP Instance UID")
    EXAMPLE_FRAME = (0x04, "IS", "Example Frame Number")
    EXAMPLE_REGION = (0x05, "IS", "Example Region")
    EXAMPLE_VECTOR = (0x07, "OB", "Example Vector")
    SPACE = (0x08, "LO", "Vector Space")
    MAXIMUM_MATCHES = (0x09, "IS", "Maximum Matches")
    MINIMUM_SCORE = (0x0A, "DS", "Minimum Score")
    SAME_PATIENT = (0x0B, "CS", "Same Patient")
    DIVERSIFY = (0x0C, "CS", "Diversify")
    RANK = (0x10, "IS", "Rank")
    SCORE = (0x11, "DS", "Score")
    METRIC = (0x12, "CS", "Metric")
    MATCHED_SERIES = (0x13, "UI", "Matched Series Instance UID")
    MATCHED_INSTANCE = (0x14, "UI", "Matched SOP Instance UID")
    MATCHED_FRAME = (0x15, "IS", "Matched Frame Number")
    COMPLETENESS = (0x16, "CS", "Completeness")
    INDEX_DATETIME = (0x17, "DT", "Index DateTime")
    STUDIES_SEARCHED = (0x18, "IS", "Studies Searched")
    QUERY_IDENTIFIER = (0x19, "SH", "Query Identifier")

    def __init__(self, offset: int, vr: str, description: str) -> None:
        """Name the parts of the value."""
        self.offset = offset
        self.vr = vr
        self.description = description

    @property
    def tag(self) -> BaseTag:
        """The tag as SIMILARITY.md has it, with the creator at (5349,0010)."""
        return Tag(GROUP, 0x1000 | self.offset)


add_private_dict_entries(
    CREATOR,
    {
        GROUP << 16 | 0x1000 | element.offset: (
            element.vr,
            "4" if element is Element.EXAMPLE_REGION else "1",
            element.description,
            "",
        )
        for element in Element
    },
)
# Named in SIMILARITY.md, not answered yet; asked for, they would change the answer.
UNSUPPORTED = (Element.EXAMPLE_REGION, Element.EXAMPLE_VECTOR)
UIDS = (Element.EXAMPLE_INSTANCE, Element.EXAMPLE_SERIES, Element.EXAMPLE_STUDY)


@dataclass(frozen=True, slots=True)
class Block:
    """The block of a query. `example` maps the example's UID elements, the most specific first; absent keys are
    empty or None. `asked` is every element that the query holds.
    """

    asked: frozenset[Element]
    example: Mapping[Element, str]
    frame_number: int | None = None
    space: str = ""
    maximum_matches: int | None = None
    minimum_score: float | None = None
    same_patient: str = ""


def read(identifier: Dataset) -> Block | None:
    """Read the block of an Identifier; None when it has none. Raises IdentifierMismatch for values nobody can mean."""
    try:
        private = identifier.private_block(GROUP, CREATOR)
    except KeyError:
        return None
    values = {element: private[element.offset].value for element in Element if element.offset in private}
    for element in UNSUPPORTED:
        if values.get(element):
            raise IdentifierMismatch(f"{element.description} is not supported", element.tag)
    texts = {element: _text(value) for element, value in values.items()}
    if texts.get(Element.DIVERSIFY, "") not in ("", "NO"):
        raise IdentifierMismatch("Diversify is not supported", Element.DIVERSIFY.tag)
    block = Block(
        asked=frozenset(texts),
        example={element: texts[element] for element in UIDS if texts.get(element)},
        frame_number=_integer(Element.EXAMPLE_FRAME, texts),
        space=texts.get(Element.SPACE, ""),
        maximum_matches=_integer(Element.MAXIMUM_MATCHES, texts),
        minimum_score=_score(texts),
        same_patient=_same_patient(texts),
    )
    _check_example(block)
    return block


def write(response: Dataset, block: Block, values: Mapping[Element, str]) -> None:
    """Add the values of the elements that were asked for, under our creator."""
    wanted = [element for element in Element if element in block.asked and element in values]
    if wanted:
        response.add_new(Tag(GROUP, 0x0010), "LO", CREATOR)
    for element in wanted:
        response.add(DataElement(element.tag, element.vr, values[element]))


def _text(value: Any) -> str:
    """Return a value's text; senders without our dictionary write UN bytes."""
    if value is None:
        return ""
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    return text.strip(" \0")


def _integer(element: Element, texts: Mapping[Element, str]) -> int | None:
    text = texts.get(element, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text[:12]) < 1 << 31):
        raise IdentifierMismatch(f"{element.description} is no positive number", element.tag)
    return int(text)


def _score(texts: Mapping[Element, str]) -> float | None:
    text = texts.get(Element.MINIMUM_SCORE, "")
    if not text:
        return None
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not 0.0 <= score <= 1.0:
        raise IdentifierMismatch("Minimum Score is not between 0 and 1", Element.MINIMUM_SCORE.tag)
    return score


def _same_patient(texts: Mapping[Element, str]) -> str:
    wish = texts.get(Element.SAME_PATIENT, "")
    if wish not in ("", "INCLUDE", "EXCLUDE", "ONLY"):
        raise IdentifierMismatch("Same Patient is not INCLUDE, EXCLUDE or ONLY", Element.SAME_PATIENT.tag)
    return wish


def _check_example(block: Block) -> None:
    for element, uid in block.example.items():
        if not is_uid(uid):
            raise IdentifierMismatch(f"{element.description} is not one UID", element.tag)
    if block.frame_number is not None and Element.EXAMPLE_INSTANCE not in block.example:
        raise IdentifierMismatch("a frame needs its SOP Instance UID", Element.EXAMPLE_FRAME.tag)
