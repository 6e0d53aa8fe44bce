"""Identifiers to and from bytes, in the transfer syntax of the presentation context."""

import struct
from io import BytesIO

from pydicom import DataElement, Dataset
from pydicom.dataelem import RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.multival import MultiValue

from dicom_node.dimse.presentation import EXPLICIT_BIG_ENDIAN, IMPLICIT_LITTLE_ENDIAN
from dicom_node.errors import Rejected

COMMAND_GROUP = 0x0000
MAXIMUM_PLAIN_CHARACTERS = 1024
UNDEFINED_LENGTH = 0xFFFFFFFF


# Encoded without pydicom's writer, which takes seven times the CPU: text of one byte a character, with a short length.
_PLAIN_VRS = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UI"})
_EXPLICIT_HEADER = struct.Struct("<HH2sH")
_IMPLICIT_HEADER = struct.Struct("<HHL")


def encode(data_set: Dataset, transfer_syntax_uid: str) -> bytes:
    """Encode a data set in an uncompressed transfer syntax."""
    if transfer_syntax_uid != EXPLICIT_BIG_ENDIAN:
        is_implicit = transfer_syntax_uid == IMPLICIT_LITTLE_ENDIAN
        elements = [_encode_plain(element, is_implicit) for element in data_set]
        if None not in elements:
            return b"".join(filter(None, elements))
    return _encode_any(data_set, transfer_syntax_uid)


def _encode_plain(element: DataElement, is_implicit: bool) -> bytes | None:
    """Encode an element of short ASCII text; None for what is something else."""
    value = element.value
    if element.VR not in _PLAIN_VRS or element.tag.group == COMMAND_GROUP:
        return None
    if isinstance(value, MultiValue):
        value = "\\".join(map(str, value))
    text = "" if value is None else str(value)
    if not text.isascii() or len(text) > MAXIMUM_PLAIN_CHARACTERS:
        return None
    if len(text) % 2:
        text += "\0" if element.VR == "UI" else " "
    tag = element.tag
    if is_implicit:
        return _IMPLICIT_HEADER.pack(tag.group, tag.elem, len(text)) + text.encode("ascii")
    return _EXPLICIT_HEADER.pack(tag.group, tag.elem, element.VR.encode("ascii"), len(text)) + text.encode("ascii")


def _encode_any(data_set: Dataset, transfer_syntax_uid: str) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = transfer_syntax_uid == IMPLICIT_LITTLE_ENDIAN
    buffer.is_little_endian = transfer_syntax_uid != EXPLICIT_BIG_ENDIAN
    write_dataset(buffer, data_set)
    return buffer.getvalue()


def decode(encoded: bytes, transfer_syntax_uid: str) -> Dataset:
    """Decode a data set of an uncompressed transfer syntax. Raises Rejected when it cannot be parsed."""
    try:
        data_set = read_dataset(
            BytesIO(encoded),
            transfer_syntax_uid == IMPLICIT_LITTLE_ENDIAN,
            transfer_syntax_uid != EXPLICIT_BIG_ENDIAN,
            bytelength=len(encoded),
        )
    except Exception as error:
        raise Rejected("the Identifier cannot be parsed") from error
    # A value cut off at the end is no error to pydicom; it would ask for something else than was meant.
    if any(_is_cut_off(data_set.get_item(tag)) for tag in list(data_set.keys())):
        raise Rejected("the Identifier is cut off")
    return data_set


def _is_cut_off(element: object) -> bool:
    return (
        isinstance(element, RawDataElement)
        and element.length != UNDEFINED_LENGTH
        and len(element.value or b"") != element.length
    )
