"""Command sets (PS3.7 6.3.1 and annex E): group 0000 in Implicit VR Little Endian, without a data set's machinery.

Called by the conversation for what comes, by the services for what goes. The rule: a decoded command names its
operation, its message and whether a data set follows; whatever does not is a Violation.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from dicom_node.dimse.engine.violation import Violation

NO_DATA_SET = 0x0101
A_DATA_SET = 0x0001
RESPONSE = 0x8000
HEADER = struct.Struct("<HHL")
UNSIGNED_SHORT = struct.Struct("<H")
TAG = struct.Struct("<HH")

Value = int | str


class CommandField(IntEnum):
    """The requests of PS3.7 table E.1-1 that a peer may send an archive; a response has `RESPONSE` added."""

    C_STORE = 0x0001
    C_GET = 0x0010
    C_FIND = 0x0020
    C_MOVE = 0x0021
    C_ECHO = 0x0030
    N_EVENT_REPORT = 0x0100
    N_ACTION = 0x0130
    C_CANCEL = 0x0FFF


class Element(IntEnum):
    """The element numbers of group 0000."""

    GROUP_LENGTH = 0x0000
    AFFECTED_SOP_CLASS_UID = 0x0002
    REQUESTED_SOP_CLASS_UID = 0x0003
    COMMAND_FIELD = 0x0100
    MESSAGE_ID = 0x0110
    RESPONDED_MESSAGE_ID = 0x0120
    MOVE_DESTINATION = 0x0600
    PRIORITY = 0x0700
    DATA_SET_TYPE = 0x0800
    STATUS = 0x0900
    OFFENDING_ELEMENT = 0x0901
    ERROR_COMMENT = 0x0902
    ERROR_ID = 0x0903
    AFFECTED_SOP_INSTANCE_UID = 0x1000
    REQUESTED_SOP_INSTANCE_UID = 0x1001
    EVENT_TYPE_ID = 0x1002
    ACTION_TYPE_ID = 0x1008
    REMAINING_SUBOPERATIONS = 0x1020
    COMPLETED_SUBOPERATIONS = 0x1021
    FAILED_SUBOPERATIONS = 0x1022
    WARNING_SUBOPERATIONS = 0x1023
    MOVE_ORIGINATOR_AE_TITLE = 0x1030
    MOVE_ORIGINATOR_MESSAGE_ID = 0x1031


_UIDS = frozenset(
    {
        Element.AFFECTED_SOP_CLASS_UID,
        Element.REQUESTED_SOP_CLASS_UID,
        Element.AFFECTED_SOP_INSTANCE_UID,
        Element.REQUESTED_SOP_INSTANCE_UID,
    }
)
_TEXTS = frozenset({Element.MOVE_DESTINATION, Element.ERROR_COMMENT, Element.MOVE_ORIGINATOR_AE_TITLE})
_NUMBERS = frozenset(Element) - _UIDS - _TEXTS - {Element.GROUP_LENGTH, Element.OFFENDING_ELEMENT}


@dataclass(frozen=True, slots=True)
class Command:
    """A received command set. `message_id` is, for responses and C-CANCEL, that of the message it is about."""

    field: int
    message_id: int
    has_data_set: bool
    elements: Mapping[int, Value]

    @property
    def is_response(self) -> bool:
        """Whether this answers a request of ours."""
        return bool(self.field & RESPONSE)

    @property
    def sop_class_uid(self) -> str:
        """The Affected SOP Class UID as sent; empty when absent."""
        return self.text(Element.AFFECTED_SOP_CLASS_UID)

    @property
    def sop_instance_uid(self) -> str:
        """The Affected SOP Instance UID as sent; empty when absent."""
        return self.text(Element.AFFECTED_SOP_INSTANCE_UID)

    @property
    def status(self) -> int | None:
        """The status of a response."""
        return self.number(Element.STATUS)

    def text(self, element: Element) -> str:
        """Return an element's text; empty when absent."""
        return str(self.elements.get(element, ""))

    def number(self, element: Element) -> int | None:
        """Return an element's number, None when absent."""
        value = self.elements.get(element)
        return value if isinstance(value, int) else None


def decode(encoded: bytes | bytearray) -> Command:
    """Read an encoded command set. Raises Violation."""
    elements = dict(_split(bytes(encoded)))
    field = _required(elements, Element.COMMAND_FIELD)
    answers = field == CommandField.C_CANCEL or field & RESPONSE
    return Command(
        field=field,
        message_id=_required(elements, Element.RESPONDED_MESSAGE_ID if answers else Element.MESSAGE_ID),
        has_data_set=_required(elements, Element.DATA_SET_TYPE) != NO_DATA_SET,
        elements=elements,
    )


def encode(elements: Mapping[Element, Value]) -> bytes:
    """Encode a command set, with its group length."""
    body = b"".join(_encoded(element, elements[element]) for element in sorted(elements))
    return HEADER.pack(0, Element.GROUP_LENGTH, 4) + struct.pack("<L", len(body)) + body


def _split(encoded: bytes) -> list[tuple[int, Value]]:
    found: list[tuple[int, Value]] = []
    position = 0
    while position < len(encoded):
        if len(encoded) - position < HEADER.size:
            raise Violation("a command element is cut off")
        group, number, length = HEADER.unpack_from(encoded, position)
        position += HEADER.size
        if group != 0 or length > len(encoded) - position:
            raise Violation("a command element is none, or cut off")
        value = _value(number, encoded[position : position + length])
        if value is not None:
            found.append((number, value))
        position += length
    return found


def _value(number: int, encoded: bytes) -> Value | None:
    """Return an element's value; None for what has no number or is none of ours."""
    if number in _NUMBERS:
        return UNSIGNED_SHORT.unpack_from(encoded)[0] if len(encoded) >= UNSIGNED_SHORT.size else None
    if number in _UIDS:
        return encoded.decode("latin-1").removesuffix("\0")
    return encoded.decode("latin-1").strip(" ") if number in _TEXTS else None


def _required(elements: Mapping[int, Value], element: Element) -> int:
    value = elements.get(element)
    if not isinstance(value, int):
        raise Violation(f"a command without {element.name}")
    return value


def _encoded(element: Element, value: Value) -> bytes:
    if isinstance(value, str):
        encoded = value.encode("ascii", "replace")
        if len(encoded) % 2:
            encoded += b"\0" if element in _UIDS else b" "
    elif element is Element.OFFENDING_ELEMENT:
        encoded = TAG.pack(value >> 16, value & 0xFFFF)
    else:
        encoded = UNSIGNED_SHORT.pack(value)
    return HEADER.pack(0, element, len(encoded)) + encoded
