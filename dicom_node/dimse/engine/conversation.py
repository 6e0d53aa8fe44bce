"""One association without its socket: bytes in, events and bytes out, limits and deadlines.

Whoever has the socket receives into `space`, tells with `received` how much came and when, and asks for `next_event`
until it needs data. The rule: a length is checked before anything of that size is allocated, and what a peer sends
raises nothing but Violation. Times are seconds of any clock that does not jump.
"""

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import Enum

from dicom_node.dimse.engine import commands
from dicom_node.dimse.engine.commands import Command
from dicom_node.dimse.engine.violation import Violation

PDU_HEADER = struct.Struct(">BxL")
PDV_HEADER = struct.Struct(">LBB")
# What a PDV's length counts beside the fragment: context ID and control byte.
PDV_OVERHEAD = 2
ASSOCIATE_RQ, P_DATA_TF, RELEASE_RQ, RELEASE_RP, ABORT = 0x01, 0x04, 0x05, 0x06, 0x07
COMMAND, LAST = 0x01, 0x02

# 128 presentation contexts with fifty transfer syntaxes each stay below this.
MAXIMUM_REQUEST_BYTES = 1 << 20
MINIMUM_REQUEST_BYTES = 68
SHORT_PDU_BYTES = 4
# Some senders count the six bytes of the PDV header wrongly.
DATA_TOLERANCE = 64
MAXIMUM_COMMAND_BYTES = 16_384
MINIMUM_RATE = 1_000  # bytes a second, of a message that takes longer than its time limit
FIRST_BUFFER_BYTES = 1 << 12
DATA_BUFFER_BYTES = 1 << 18
# Sent to a peer that takes any length.
LONGEST_SENT_PDU = 131_072


class NeedData(Enum):
    """What `next_event` returns when no event is complete."""

    NEED_DATA = 0


NEED_DATA = NeedData.NEED_DATA


@dataclass(frozen=True, slots=True)
class AssociationRequested:
    """The whole body of an A-ASSOCIATE-RQ PDU."""

    body: bytes


@dataclass(frozen=True, slots=True)
class CommandReceived:
    """A complete command set; its data set, where it has one, follows as DataReceived."""

    context_id: int
    command: Command


@dataclass(frozen=True, slots=True)
class DataReceived:
    """A piece of a data set: a view that is valid until `space` is called; `last` ends the message."""

    piece: memoryview
    last: bool


@dataclass(frozen=True, slots=True)
class ReleaseRequested:
    """The peer has no more requests."""


@dataclass(frozen=True, slots=True)
class Aborted:
    """The peer ended the association."""


Event = AssociationRequested | CommandReceived | DataReceived | ReleaseRequested | Aborted


@dataclass(frozen=True, slots=True)
class Limits:
    """What a peer may take of us: the longest P-DATA PDU, and seconds."""

    maximum_pdu_bytes: int
    handshake_s: float
    message_s: float
    network_s: float


class Conversation:
    """The acceptor's end of one association. For one thread at a time."""

    def __init__(self, limits: Limits, now: float) -> None:
        """Begin with an open connection, at the time `now`."""
        self._limits = limits
        self._buffer = memoryview(bytearray(FIRST_BUFFER_BYTES))
        self._start = self._end = 0
        self._wanted = PDU_HEADER.size
        self._contexts: Collection[int] | None = None
        self._peer_pdu_bytes = LONGEST_SENT_PDU
        self._pdu_left = 0
        self._fragment: _Fragment | None = None
        self._command = bytearray()
        self._data_context: int | None = None
        self._opened_at = self._heard_at = self._pdu_at = self._message_at = now
        self._message_bytes = 0

    @property
    def limits(self) -> Limits:
        """What the peer may take of us."""
        return self._limits

    # Bytes in

    def space(self) -> memoryview:
        """Return where to receive to, never empty; for use when an event was asked for and data is needed."""
        held = self._end - self._start
        if self._start:
            self._buffer[:held] = bytes(self._buffer[self._start : self._end])
            self._start, self._end = 0, held
        if self._data_context is not None:
            self._grow(DATA_BUFFER_BYTES)
        if held == len(self._buffer):
            self._grow(min(self._wanted, 2 * held))
        return self._buffer[self._end :]

    def received(self, count: int, now: float) -> None:
        """Take note that `count` bytes have come into `space`."""
        if self._start == self._end and not self._pdu_left:
            self._pdu_at = now
        if self.is_idle:
            self._message_at = now
        self._heard_at = now
        self._end += count
        self._message_bytes += count

    def next_event(self) -> Event | NeedData:
        """Return the next event of what has been received. Raises Violation."""
        while True:
            if self._fragment is not None:
                event = self._take_fragment(self._fragment)
            elif self._pdu_left:
                event = self._begin_fragment()
            else:
                event = self._take_pdu()
            if event is not None:
                return event

    @property
    def is_idle(self) -> bool:
        """Whether nothing of a message or PDU has been received that is not yet an event."""
        return self._start == self._end and not self._pdu_left and not self._command and self._data_context is None

    @property
    def deadline(self) -> float:
        """When more must have come, else the association is to be ended."""
        if self._contexts is None:
            return self._opened_at + self._limits.handshake_s
        deadline = self._heard_at + self._limits.network_s
        if self._start != self._end or self._pdu_left:
            deadline = min(deadline, self._pdu_at + self._limits.network_s)
        if not self.is_idle:
            allowed_s = self._limits.message_s + self._message_bytes / MINIMUM_RATE
            deadline = min(deadline, self._message_at + allowed_s)
        return deadline

    def heard(self, now: float) -> None:
        """Count time from `now`: we were busy, the peer waited for us."""
        self._heard_at = now

    # Bytes out

    def establish(self, context_ids: Collection[int], peer_pdu_bytes: int) -> None:
        """Go on as an accepted association; `peer_pdu_bytes` is the longest P-DATA PDU for the peer, 0 any."""
        self._contexts = context_ids
        self._peer_pdu_bytes = min(peer_pdu_bytes or LONGEST_SENT_PDU, LONGEST_SENT_PDU)

    def message(self, context_id: int, command: bytes, data: bytes | memoryview = b"") -> Iterator[bytes | memoryview]:
        """Encode a message as pieces to be written one after the other: headers, and views of what was given."""
        yield from self._fragments(context_id, command, COMMAND)
        if data:
            yield from self._fragments(context_id, data, 0)

    def _fragments(self, context_id: int, content: bytes | memoryview, kind: int) -> Iterator[bytes | memoryview]:
        size = self._peer_pdu_bytes - PDV_HEADER.size
        view = memoryview(content)
        for start in range(0, len(view), size):
            piece = view[start : start + size]
            control = kind | (LAST if start + size >= len(view) else 0)
            length = len(piece) + PDV_OVERHEAD
            yield PDU_HEADER.pack(P_DATA_TF, length + 4) + PDV_HEADER.pack(length, context_id, control)
            yield piece

    # PDUs and PDVs

    def _take_pdu(self) -> Event | NeedData | None:
        held = self._end - self._start
        if held < PDU_HEADER.size:
            return NEED_DATA
        kind, length = PDU_HEADER.unpack_from(self._buffer, self._start)
        self._check_length(kind, length)
        if kind == P_DATA_TF:
            self._start += PDU_HEADER.size
            self._pdu_left = length
            self._pdu_at = self._heard_at
            return None
        self._wanted = PDU_HEADER.size + length
        if held < self._wanted:
            return NEED_DATA
        body = bytes(self._buffer[self._start + PDU_HEADER.size : self._start + self._wanted])
        self._start += self._wanted
        return self._control(kind, body)

    def _check_length(self, kind: int, length: int) -> None:
        """See to it that this PDU may come now, in this length."""
        if kind == ABORT:
            shortest = longest = SHORT_PDU_BYTES
        elif self._contexts is None:
            shortest, longest = MINIMUM_REQUEST_BYTES, MAXIMUM_REQUEST_BYTES if kind == ASSOCIATE_RQ else 0
        elif kind == P_DATA_TF:
            shortest, longest = PDV_HEADER.size, self._limits.maximum_pdu_bytes + DATA_TOLERANCE
        else:
            shortest, longest = SHORT_PDU_BYTES, SHORT_PDU_BYTES if kind == RELEASE_RQ else 0
        if not shortest <= length <= longest:
            raise Violation("a PDU that may not come now, or of an impossible length")

    def _control(self, kind: int, body: bytes) -> Event:
        if kind == ABORT:
            return Aborted()
        if kind == ASSOCIATE_RQ:
            return AssociationRequested(body)
        if self._command or self._data_context is not None:
            raise Violation("a release within a message")
        return ReleaseRequested()

    def _begin_fragment(self) -> NeedData | None:
        if self._pdu_left < PDV_HEADER.size:
            raise Violation("a PDV header is cut off")
        if self._end - self._start < PDV_HEADER.size:
            return NEED_DATA
        length, context_id, control = PDV_HEADER.unpack_from(self._buffer, self._start)
        size = length - PDV_OVERHEAD
        if not 0 <= size <= self._pdu_left - PDV_HEADER.size:
            raise Violation("a PDV of an impossible length")
        self._check_fragment(context_id, control, size)
        self._start += PDV_HEADER.size
        self._pdu_left -= PDV_HEADER.size
        self._fragment = _Fragment(context_id, control, size)
        return None

    def _check_fragment(self, context_id: int, control: int, size: int) -> None:
        """See to it that this fragment may come now."""
        if control & COMMAND:
            if self._data_context is not None:
                raise Violation("a command where a data set was due")
            if len(self._command) + size > MAXIMUM_COMMAND_BYTES:
                raise Violation("a command set without end")
            if self._contexts is None or context_id not in self._contexts:
                raise Violation("a presentation context that was not accepted")
        elif context_id != self._data_context:
            raise Violation("a data set that was not due")

    def _take_fragment(self, fragment: "_Fragment") -> Event | NeedData | None:
        available = min(self._end - self._start, fragment.left)
        if not available and fragment.left:
            return NEED_DATA
        piece = self._buffer[self._start : self._start + available]
        self._start += available
        self._pdu_left -= available
        fragment.left -= available
        last = False
        if not fragment.left:
            self._fragment = None
            last = bool(fragment.control & LAST)
        if not fragment.control & COMMAND:
            if last:
                self._data_context = None
                self._end_message()
            return DataReceived(piece, last)
        self._command += piece
        return self._end_command(fragment.context_id) if last else None

    def _end_command(self, context_id: int) -> CommandReceived:
        command = commands.decode(self._command)
        self._command.clear()
        if command.has_data_set:
            self._data_context = context_id
        else:
            self._end_message()
        return CommandReceived(context_id, command)

    def _end_message(self) -> None:
        # What has come beyond belongs to the next message.
        self._message_at, self._message_bytes = self._heard_at, self._end - self._start

    def _grow(self, size: int) -> None:
        if size > len(self._buffer):
            larger = memoryview(bytearray(size))
            larger[: self._end] = self._buffer[: self._end]
            self._buffer = larger


@dataclass(slots=True)
class _Fragment:
    """The fragment of the PDV that is being received, and how many of its bytes are still to come."""

    context_id: int
    control: int
    left: int


def release_response() -> bytes:
    """Return the A-RELEASE-RP PDU."""
    return PDU_HEADER.pack(RELEASE_RP, SHORT_PDU_BYTES) + bytes(SHORT_PDU_BYTES)


def abort() -> bytes:
    """Return an A-ABORT PDU of the service provider, without a reason (PS3.8 9.3.8)."""
    return PDU_HEADER.pack(ABORT, SHORT_PDU_BYTES) + bytes((0, 0, 2, 0))
