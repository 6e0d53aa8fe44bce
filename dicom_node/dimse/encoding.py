"""Identifiers to and from bytes, in the transfer syntax of the presentation context."""

from io import BytesIO

from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from dicom_node.dimse.presentation import EXPLICIT_BIG_ENDIAN, IMPLICIT_LITTLE_ENDIAN
from dicom_node.errors import Rejected

UNDEFINED_LENGTH = 0xFFFFFFFF


def encode(data_set: Dataset, transfer_syntax_uid: str) -> bytes:
    """Encode a data set in an uncompressed transfer syntax."""
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
