"""What the node reads from a received data set: the facts for the catalog, taken from a bounded header.

Pure DICOM translation. The rule: pixel data is never read, let alone decoded; a deflated data set is inflated only up
to a limit; anything that cannot be understood is Rejected, whatever pydicom raises over it.
"""

import hashlib
import re
import struct
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from pydicom import Dataset, config
from pydicom.dataelem import RawDataElement
from pydicom.filereader import read_dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from dicom_node.attributes import ATTRIBUTES, QueryLevel
from dicom_node.errors import Rejected

IMPLEMENTATION_CLASS_UID = "2.25.211867294357243911763842306125018253611"
IMPLEMENTATION_VERSION_NAME = "DICOM_NODE_0_1"
UID_PATTERN = re.compile(r"(?=.{1,64}\Z)[0-9]+(\.[0-9]+)*", re.ASCII)
TAGS: list[BaseTag | int] = [
    Tag(keyword) for keyword in ("SpecificCharacterSet", *(attribute.keyword for attribute in ATTRIBUTES))
]
# PS3.5 A.5, and JPIP with deflate: A.7 and A.9.
DEFLATED = frozenset({DeflatedExplicitVRLittleEndian, "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})
TAG_OF = {attribute: Tag(attribute.keyword) for attribute in ATTRIBUTES}
# Values of one VR that are the same text whatever the character set; ESC would switch it, a backslash part values.
PLAIN_TEXT = re.compile(rb"([\x20-\x5b\x5d-\x7e]*)\0?")
PLAIN = {
    "PN": re.compile(rb"([\x20-\x3c\x3e-\x5b\x5d-\x7e]*)\0?"),
    "IS": re.compile(rb"([0-9]{1,9}) ?"),
    "DS": re.compile(rb"([0-9]{1,9}) ?"),
}
UNSIGNED_SHORT_BYTES = 2
LAST_GROUP = max(Tag(tag).group for tag in TAGS)
MAXIMUM_VALUE_BYTES = 65_536
MAXIMUM_VALUE_CHARACTERS = 1024

# Damaged values are common in real archives; they are kept as they are, never a reason for a warning or a refusal.
# (pydicom's warnings also quote values, which must not reach a log.)
config.settings.reading_validation_mode = config.IGNORE
warnings.filterwarnings("ignore", category=UserWarning, module="pydicom")


@dataclass(frozen=True, slots=True)
class Header:
    """The catalog's text of one instance: by column of the study (with its patient), the series and the instance."""

    study: Mapping[str, str]
    series: Mapping[str, str]
    instance: Mapping[str, str]
    transfer_syntax_uid: str


def is_uid(text: str) -> bool:
    """Tell whether `text` is a UID by PS3.5 9.1. Leading zeros in a component are let pass: old scanners write them."""
    return UID_PATTERN.fullmatch(text) is not None


def patient_key(patient_id: str, issuer: str) -> str:
    """Return what stands for a patient in the index: a digest, so that no Patient ID leaves the catalog; or empty."""
    identity = f"{issuer}\0{patient_id}".encode()
    return hashlib.blake2b(identity, digest_size=16).hexdigest() if patient_id else ""


def encode_file_meta(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, calling: str = "") -> bytes:
    """Encode the file meta information group (PS3.10 7.1) that we write before a received data set."""
    elements = [
        _meta_element(0x01, b"OB", b"\0\1"),
        _meta_element(0x02, b"UI", sop_class_uid.encode("ascii")),
        _meta_element(0x03, b"UI", sop_instance_uid.encode("ascii")),
        _meta_element(0x10, b"UI", transfer_syntax_uid.encode("ascii")),
        _meta_element(0x12, b"UI", IMPLEMENTATION_CLASS_UID.encode("ascii")),
        _meta_element(0x13, b"SH", IMPLEMENTATION_VERSION_NAME.encode("ascii")),
    ]
    if calling:
        elements.append(_meta_element(0x16, b"AE", calling.encode("ascii", "replace")))
    body = b"".join(elements)
    return _meta_element(0x00, b"UL", struct.pack("<L", len(body))) + body


def _meta_element(number: int, vr: bytes, value: bytes) -> bytes:
    """Encode an element of group 0002, always in Explicit VR Little Endian."""
    if len(value) % 2:
        value += b"\0" if vr == b"UI" else b" "
    header = struct.pack("<HH2s", 0x0002, number, vr)
    return header + (struct.pack("<xxL", len(value)) if vr == b"OB" else struct.pack("<H", len(value))) + value


def read_header(path: Path, data_set_offset: int, transfer_syntax_uid: str, limit_bytes: int) -> Header:
    """Read the catalog's facts from a Part 10 file whose data set starts at `data_set_offset`.

    Raises Rejected when the data set cannot be parsed, or its UIDs are absent or no UIDs.
    """
    with path.open("rb") as file:
        file.seek(data_set_offset)
        return header_of(_parse(file, UID(transfer_syntax_uid), limit_bytes), transfer_syntax_uid)


def header_of(data_set: Dataset, transfer_syntax_uid: str) -> Header:
    """Take the catalog's facts from a parsed data set. Raises Rejected for absent or impossible UIDs."""
    text: dict[QueryLevel, dict[str, str]] = {level: {} for level in QueryLevel}
    for attribute in ATTRIBUTES:
        text[attribute.level][attribute.column] = _text(data_set, TAG_OF[attribute], attribute.vr)
    header = Header(
        study=text[QueryLevel.PATIENT] | text[QueryLevel.STUDY],
        series=text[QueryLevel.SERIES],
        instance=text[QueryLevel.IMAGE],
        transfer_syntax_uid=transfer_syntax_uid,
    )
    _check_uids(header)
    return header


def _check_uids(header: Header) -> None:
    uids = {
        "Study Instance UID": header.study["study_instance_uid"],
        "Series Instance UID": header.series["series_instance_uid"],
        "SOP Instance UID": header.instance["sop_instance_uid"],
        "SOP Class UID": header.instance["sop_class_uid"],
    }
    for name, uid in uids.items():
        if not is_uid(uid):
            raise Rejected(f"{name} is absent or not a UID")


def _parse(file: BinaryIO, transfer_syntax: UID, limit_bytes: int) -> Dataset:
    try:
        if transfer_syntax in DEFLATED:
            file = BytesIO(_inflate(file, limit_bytes))
        return read_dataset(
            file,
            transfer_syntax == ImplicitVRLittleEndian,
            transfer_syntax != ExplicitVRBigEndian,  # PS3.5 A.4: whatever is newer or private is Explicit VR LE
            stop_when=lambda tag, _vr, _length: tag.group > LAST_GROUP,
            defer_size=MAXIMUM_VALUE_BYTES,
            specific_tags=TAGS,
        )
    except Rejected:
        raise
    except Exception as error:
        raise Rejected(f"the data set cannot be parsed: {type(error).__name__}") from error


def _inflate(file: BinaryIO, limit_bytes: int) -> bytes:
    """Inflate at most `limit_bytes`: the header's attributes come first, what follows is not looked at."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    return inflater.decompress(file.read(limit_bytes), limit_bytes)


def _text(data_set: Dataset, tag: BaseTag, vr: str) -> str:
    """Return an attribute's text, multiple values joined by a backslash; empty when absent or unreadable."""
    if tag not in data_set.keys():  # noqa: SIM118 - `in data_set` makes a tag of it first
        return ""
    try:
        element = data_set.get_item(tag)
        if isinstance(element, RawDataElement) and (plain := _plain_text(element, vr)) is not None:
            return plain
        value: Any = data_set[tag].value
    except Exception:  # noqa: BLE001 - whatever a damaged value makes pydicom raise, it must not keep the instance out
        return ""
    if value is None:
        return ""
    values = value if isinstance(value, MultiValue | list) else [value]
    text = "\\".join(str(item) for item in values)
    return text.replace("\0", "").strip(" ")[:MAXIMUM_VALUE_CHARACTERS]


def _plain_text(element: RawDataElement, vr: str) -> str | None:
    """Return the text of a value that says the same in every character set, without pydicom's costly conversion.

    None for what needs it: several values, numbers with more than digits, names in groups, other characters than ASCII.
    """
    value = element.value
    if not value or (element.VR or vr) != vr:
        return None
    if vr == "US":
        if len(value) != UNSIGNED_SHORT_BYTES:
            return None
        return str(int.from_bytes(value, "little" if element.is_little_endian else "big"))
    pattern = PLAIN.get(vr, PLAIN_TEXT)
    matched = pattern.fullmatch(value)
    return matched[1].decode("ascii").strip(" ")[:MAXIMUM_VALUE_CHARACTERS] if matched else None
