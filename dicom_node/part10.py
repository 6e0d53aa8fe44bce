"""DICOM files as others wrote them: what a file holds, and where its data set starts. Used by `importer` and `similar`.

Reads Part 10 files (PS3.10 7), and bare data sets, which old software wrote. The rule: only the file meta information
and the elements up to the SOP Instance UID are read, and whatever goes wrong over damaged bytes is Rejected.
"""

import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

from pydicom import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from dicom_node.errors import Rejected
from dicom_node.instance import DEFLATED, is_uid

PREAMBLE_BYTES = 128
PREFIX = b"DICM"
SOP_CLASS_UID, SOP_INSTANCE_UID = 0x00080016, 0x00080018
DEFLATED_HEAD_BYTES = 64 << 10
# What a bare data set or file meta information starts with: group 0002 or 0008, the latter in either byte order.
BARE_STARTS = (b"\x02\x00", b"\x08\x00", b"\x00\x08")


class NotAnInstance(Rejected):
    """The file holds no SOP Instance at all: it is no DICOM file, or a DICOMDIR. Importing passes over it."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds. The UIDs are those the data set (from `data_set_offset` on) says of itself.

    `has_meta` tells whether the file begins as PS3.10 asks, with file meta information that says the same.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    data_set_offset: int
    has_meta: bool


def read_contents(file: BinaryIO) -> Contents:
    """Read what `file` (at its start, seekable) holds. Raises NotAnInstance, or Rejected for damaged ones."""
    has_prefix = _find_meta(file)
    try:
        return _read(file, has_prefix)
    except Rejected:
        raise
    except Exception as error:  # pydicom raises what it likes over damaged bytes
        if has_prefix:
            raise Rejected(f"the header cannot be read: {type(error).__name__}") from error
        raise NotAnInstance("not a DICOM file") from error


def _find_meta(file: BinaryIO) -> bool:
    """Go to the file meta information, or to the data set where there is none; tell whether there is a prefix."""
    head = file.read(PREAMBLE_BYTES + len(PREFIX))
    if head[PREAMBLE_BYTES:] == PREFIX:
        return True
    if head[:2] not in BARE_STARTS:
        raise NotAnInstance("not a DICOM file")
    file.seek(0)
    return False


def _read(file: BinaryIO, has_prefix: bool) -> Contents:
    meta = read_dataset(file, False, True, stop_when=lambda tag, _vr, _length: tag.group != 2)
    if meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        raise NotAnInstance("a DICOMDIR")
    offset = file.tell()
    syntax = UID(meta.get("TransferSyntaxUID") or _guess_syntax(file))
    data_set = _read_identity(file, syntax)
    contents = Contents(
        sop_class_uid=str(data_set.get("SOPClassUID", "")),
        sop_instance_uid=str(data_set.get("SOPInstanceUID", "")),
        transfer_syntax_uid=str(syntax),
        data_set_offset=offset,
        has_meta=has_prefix and _agree(meta, data_set),
    )
    _check(contents, has_prefix)
    return contents


def _guess_syntax(file: BinaryIO) -> UID:
    """Tell by its first element how a data set is encoded that does not say so (as pydicom does)."""
    start = file.tell()
    element = file.read(6)
    file.seek(start)
    if not (element[4:].isalpha() and element[4:].isupper()):
        return ImplicitVRLittleEndian
    return ExplicitVRBigEndian if element.startswith(b"\x00\x08") else ExplicitVRLittleEndian


def _read_identity(file: BinaryIO, syntax: UID) -> Dataset:
    if syntax in DEFLATED:
        head = zlib.decompressobj(-zlib.MAX_WBITS).decompress(file.read(DEFLATED_HEAD_BYTES), DEFLATED_HEAD_BYTES)
        file = BytesIO(head)
    return read_dataset(
        file,
        syntax == ImplicitVRLittleEndian,
        syntax != ExplicitVRBigEndian,
        stop_when=lambda tag, _vr, _length: tag > SOP_INSTANCE_UID,
        specific_tags=[SOP_CLASS_UID, SOP_INSTANCE_UID],
    )


def _agree(meta: Dataset, data_set: Dataset) -> bool:
    return (
        "TransferSyntaxUID" in meta
        and meta.get("MediaStorageSOPClassUID") == data_set.get("SOPClassUID")
        and meta.get("MediaStorageSOPInstanceUID") == data_set.get("SOPInstanceUID")
    )


def _check(contents: Contents, has_prefix: bool) -> None:
    for name, uid in (
        ("SOP Class UID", contents.sop_class_uid),
        ("SOP Instance UID", contents.sop_instance_uid),
        ("Transfer Syntax UID", contents.transfer_syntax_uid),
    ):
        if not is_uid(uid):
            raise Rejected(f"{name} is absent or not a UID") if has_prefix else NotAnInstance("not a DICOM file")
