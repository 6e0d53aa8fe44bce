"""Query keys as one types them (`-k PatientName=DOE*`, `-k 0008,0050`), into the Identifier of a C-FIND.

Called by `dicom-node find`. Pure. The syntax is that of DCMTK's findscu, without paths into sequences.
"""

import re
from collections.abc import Iterable

from pydicom import Dataset
from pydicom.datadict import dictionary_VR, private_dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.tag import BaseTag, Tag

from dicom_node.errors import Rejected

NUMBER = re.compile(r"\(?([0-9a-fA-F]{4}),([0-9a-fA-F]{4})\)?")
FIRST_PRIVATE_BLOCK = 0x10
LAST_PRIVATE_BLOCK = 0xFF


def make_identifier(keys: Iterable[str]) -> Dataset:
    """Build an Identifier from keys, with the level STUDY unless one is named. Raises Rejected for what is no key."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    pairs = [key.partition("=")[::2] for key in keys]
    # Private creators first: they say how the elements of their blocks are encoded.
    for tag, value in sorted((_tag(name), value) for name, value in pairs):
        identifier[tag] = _element(identifier, tag, value)
    if not all(value.isascii() for _, value in pairs):
        identifier.SpecificCharacterSet = "ISO_IR 192"
    return identifier


def _tag(name: str) -> BaseTag:
    if match := NUMBER.fullmatch(name):
        return Tag(int(match[1], 16), int(match[2], 16))
    tag = tag_for_keyword(name) if name else None  # retired elements have an empty keyword
    if tag is None:
        raise Rejected(f"no DICOM keyword or tag: {name}")
    return Tag(tag)


def _element(identifier: Dataset, tag: BaseTag, value: str) -> DataElement:
    vr = _vr(identifier, tag)
    if vr == "SQ":
        return DataElement(tag, vr, [])
    try:
        return DataElement(tag, vr, value)
    except (TypeError, ValueError) as error:
        raise Rejected(f"no value of VR {vr} for {tag}") from error


def _vr(identifier: Dataset, tag: BaseTag) -> str:
    try:
        if not tag.is_private:
            return dictionary_VR(tag).split(" or ")[0]
        if tag.is_private_creator:
            return "LO"
        creator = identifier.get(Tag(tag.group, tag.element >> 8))
        return private_dictionary_VR(tag, str(creator.value)) if creator is not None else "LO"
    except KeyError:
        return "LO"
