"""From received PDVs to requests: the message layer of an association, on the upper layer's thread.

The data set of a C-STORE goes to its reception piece by piece as it comes, an Identifier is collected up to a limit.
The rule: whatever a peer sends, memory stays bounded; what is not a request we serve ends the association.
"""

import queue
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from io import BytesIO
from typing import TYPE_CHECKING, Any

from pydicom import Dataset
from pydicom.filereader import read_dataset
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.pdu_primitives import P_DATA

from dicom_node.dimse.handlers.store import Reception
from dicom_node.errors import Rejected

if TYPE_CHECKING:
    from dicom_node.dimse.association import ServedAssociation

MAXIMUM_COMMAND_BYTES = 16_384
MAXIMUM_IDENTIFIER_BYTES = 1 << 20
MAXIMUM_WAITING = 16
NO_DATA_SET = 0x0101
COMMAND, LAST = 0x01, 0x02


class CommandField(IntEnum):
    """The requests we serve, PS3.7 table E.1-1."""

    C_STORE = 0x0001
    C_FIND = 0x0020
    C_ECHO = 0x0030
    C_CANCEL = 0x0FFF


class NotServed(Rejected):
    """What came is no request that we serve: the association is aborted."""


@dataclass(frozen=True, slots=True)
class Command:
    """The command set of a request."""

    field: CommandField
    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    has_data_set: bool


@dataclass(frozen=True, slots=True)
class Request:
    """A request received whole: `reception` holds the data set of a C-STORE, `identifier` that of a C-FIND."""

    context_id: int
    command: Command
    identifier: bytes = b""
    reception: Reception | None = None


class MessageReceiver(DIMSEServiceProvider):
    """Puts requests together; sending is inherited."""

    def __init__(self, association: "ServedAssociation", open_store: Callable[[int, Command], Reception]) -> None:
        """`open_store` starts a reception for the presentation context ID and the command of a C-STORE."""
        super().__init__(association)
        self._served = association
        self._open_store = open_store
        self._waiting: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._command_bytes = bytearray()
        self._unfinished: Request | None = None
        self._identifier = bytearray()

    @property
    def maximum_pdu_size(self) -> int:
        """The longest PDU that the peer takes; 0, also when it did not say, means any."""
        return self._served.requestor.maximum_length or 0

    @property
    def in_progress(self) -> bool:
        """Whether part of a message has been received, or a request waits."""
        return bool(self._command_bytes) or self._unfinished is not None or not self._waiting.empty()

    def next_request(self) -> Request | None:
        """Return the next request, or None when none waits."""
        try:
            return self._waiting.get_nowait()
        except queue.Empty:
            return None

    def is_cancelled(self, message_id: int) -> bool:
        """Tell whether a C-CANCEL has come for the operation of this message ID."""
        return message_id in self._cancelled

    def discard_unfinished(self) -> None:
        """Throw away a data set that did not come to its end. For the upper layer's thread, or after it."""
        if self._unfinished is not None and self._unfinished.reception is not None:
            self._unfinished.reception.discard()
        self._unfinished = None

    def discard_waiting(self) -> None:
        """Throw away the requests that nobody will serve any more."""
        while (request := self.next_request()) is not None:
            if request.reception is not None:
                request.reception.discard()

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take the PDVs of one P-DATA; called by the state machine."""
        try:
            for context_id, value in primitive.presentation_data_value_list:
                self._take(context_id, value[0], value[1:])
        except NotServed:
            self.discard_unfinished()
            self.dul.event_queue.put("Evt19")

    def _take(self, context_id: int, control: int, fragment: bytes) -> None:
        if control & COMMAND:
            self._take_command(context_id, fragment, bool(control & LAST))
        else:
            self._take_data(context_id, fragment, bool(control & LAST))

    def _take_command(self, context_id: int, fragment: bytes, last: bool) -> None:
        if self._unfinished is not None or len(self._command_bytes) + len(fragment) > MAXIMUM_COMMAND_BYTES:
            raise NotServed("not a message, or too much of one")
        self._command_bytes += fragment
        if last:
            command = parse_command(bytes(self._command_bytes))
            self._command_bytes.clear()
            self._begin(context_id, command)

    def _begin(self, context_id: int, command: Command) -> None:
        if not self._served.accepts(context_id) or self._waiting.qsize() >= MAXIMUM_WAITING:
            raise NotServed("not a message, or too much of one")
        if command.field is CommandField.C_CANCEL:
            self._cancelled.add(command.message_id)
            return
        # A C-CANCEL that came before its request was meant for an earlier operation of the same message ID.
        self._cancelled.discard(command.message_id)
        reception = self._open_store(context_id, command) if command.field is CommandField.C_STORE else None
        self._unfinished = Request(context_id, command, reception=reception)
        self._identifier.clear()
        if not command.has_data_set:
            self._finish()

    def _take_data(self, context_id: int, fragment: bytes, last: bool) -> None:
        if self._unfinished is None or context_id != self._unfinished.context_id:
            raise NotServed("not a message, or too much of one")
        if self._unfinished.reception is not None:
            self._unfinished.reception.write(fragment)
        elif len(self._identifier) + len(fragment) > MAXIMUM_IDENTIFIER_BYTES:
            raise NotServed("not a message, or too much of one")
        else:
            self._identifier += fragment
        if last:
            self._finish()

    def _finish(self) -> None:
        unfinished, self._unfinished = self._unfinished, None
        if unfinished is None:
            raise NotServed("not a message, or too much of one")
        self._waiting.put(
            Request(unfinished.context_id, unfinished.command, bytes(self._identifier), unfinished.reception)
        )
        self._served.activity.set()


def parse_command(encoded: bytes) -> Command:
    """Read an encoded command set (PS3.7 6.3.1: Implicit VR Little Endian). Raises NotServed."""
    try:
        data_set = read_dataset(BytesIO(encoded), True, True, bytelength=len(encoded))
        field = CommandField(data_set.CommandField)
        id_keyword = "MessageIDBeingRespondedTo" if field is CommandField.C_CANCEL else "MessageID"
        return Command(
            field=field,
            message_id=int(data_set[id_keyword].value),
            sop_class_uid=_uid(data_set, "AffectedSOPClassUID"),
            sop_instance_uid=_uid(data_set, "AffectedSOPInstanceUID"),
            has_data_set=data_set.CommandDataSetType != NO_DATA_SET,
        )
    except Exception as error:
        raise NotServed("the command set is none of ours") from error


def _uid(data_set: Dataset, keyword: str) -> str:
    value: Any = data_set.get(keyword, "")
    return str(value)
