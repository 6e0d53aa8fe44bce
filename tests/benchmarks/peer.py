"""A fast SCU for benchmarks: one socket, messages encoded beforehand, as little work as possible in between.

TCP_NODELAY is on, PDUs are as long as the acceptor allows up to 64 KiB. What comes back is checked for its status.
"""

import socket
import struct
from types import TracebackType
from typing import Self

from dicom_node.dimse.engine import commands
from dicom_node.dimse.engine.commands import CommandField, Element

CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
EXPLICIT = "1.2.840.10008.1.2.1"
CONTEXTS = {VERIFICATION: 1, CT: 3, STUDY_ROOT_FIND: 5}
LONGEST_PDU = 65_536
PENDING = (0xFF00, 0xFF01)


def item(kind: int, value: bytes) -> bytes:
    """Encode an item of an association request."""
    return struct.pack(">BxH", kind, len(value)) + value


def association_request(called: str) -> bytes:
    """Encode an A-ASSOCIATE-RQ for all of CONTEXTS."""
    contexts = b"".join(
        item(0x20, bytes((number, 0, 0, 0)) + item(0x30, uid.encode()) + item(0x40, EXPLICIT.encode()))
        for uid, number in CONTEXTS.items()
    )
    user = item(0x51, struct.pack(">L", 131_072)) + item(0x52, b"2.25.1")
    body = struct.pack(">H2x16s16s32x", 1, called.encode().ljust(16), b"BENCH".ljust(16))
    body += item(0x10, b"1.2.840.10008.3.1.1.1") + contexts + item(0x50, user)
    return struct.pack(">BxL", 1, len(body)) + body


class Peer:
    """An open association."""

    def __init__(self, port: int, called: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = bytearray()
        self._socket.sendall(association_request(called))
        kind, body = self._pdu()
        assert kind == 2, f"the association was not accepted: {kind}"
        at = body.index(b"\x51\x00\x00\x04")
        self.pdu_bytes = min(struct.unpack_from(">L", body, at + 4)[0] or LONGEST_PDU, LONGEST_PDU)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._socket.sendall(b"\x05\0\0\0\0\x04\0\0\0\0")
        if self._received or self._socket.recv(16):
            self._socket.close()

    def store_message(self, sop_instance_uid: str, data: bytes) -> bytes:
        """Encode a C-STORE request of a CT instance."""
        command = commands.encode(
            {
                Element.COMMAND_FIELD: CommandField.C_STORE,
                Element.MESSAGE_ID: 1,
                Element.PRIORITY: 0,
                Element.DATA_SET_TYPE: commands.A_DATA_SET,
                Element.AFFECTED_SOP_CLASS_UID: CT,
                Element.AFFECTED_SOP_INSTANCE_UID: sop_instance_uid,
            }
        )
        return self._fragments(CONTEXTS[CT], command, 1) + self._fragments(CONTEXTS[CT], data, 0)

    def echo_message(self) -> bytes:
        """Encode a C-ECHO request."""
        elements: dict[Element, commands.Value] = {
            Element.COMMAND_FIELD: CommandField.C_ECHO,
            Element.MESSAGE_ID: 1,
            Element.DATA_SET_TYPE: commands.NO_DATA_SET,
            Element.AFFECTED_SOP_CLASS_UID: VERIFICATION,
        }
        return self._fragments(CONTEXTS[VERIFICATION], commands.encode(elements), 1)

    def find_message(self, identifier: bytes) -> bytes:
        """Encode a C-FIND request of the study root."""
        elements: dict[Element, commands.Value] = {
            Element.COMMAND_FIELD: CommandField.C_FIND,
            Element.MESSAGE_ID: 1,
            Element.PRIORITY: 0,
            Element.DATA_SET_TYPE: commands.A_DATA_SET,
            Element.AFFECTED_SOP_CLASS_UID: STUDY_ROOT_FIND,
        }
        number = CONTEXTS[STUDY_ROOT_FIND]
        return self._fragments(number, commands.encode(elements), 1) + self._fragments(number, identifier, 0)

    def ask(self, message: bytes) -> int:
        """Send a request and wait for its final response; return how many pending ones came before."""
        self._socket.sendall(message)
        pending = 0
        while (status := self._status()) in PENDING:
            pending += 1
        assert status == 0, f"status {status:04X}"
        return pending

    def _status(self) -> int:
        """Read PDUs up to the next whole command, and return its status."""
        command = bytearray()
        while True:
            _, body = self._pdu()
            position = 0
            while position < len(body):
                length, _, control = struct.unpack_from(">LBB", body, position)
                if control & 1:
                    command += body[position + 6 : position + 4 + length]
                    if control & 2:
                        status = commands.decode(command).status
                        assert status is not None
                        return status
                position += 4 + length

    def _pdu(self) -> tuple[int, bytes]:
        head = self._take(6)
        kind, length = struct.unpack(">BxL", head)
        return kind, self._take(length)

    def _take(self, count: int) -> bytes:
        while len(self._received) < count:
            piece = self._socket.recv(262_144)
            assert piece, "the acceptor closed the connection"
            self._received += piece
        taken = bytes(self._received[:count])
        del self._received[:count]
        return taken

    def _fragments(self, context_id: int, content: bytes, kind: int) -> bytes:
        size = self.pdu_bytes - 6
        pieces = []
        for start in range(0, len(content), size):
            piece = content[start : start + size]
            control = kind | (2 if start + size >= len(content) else 0)
            pieces.append(struct.pack(">BxLLBB", 4, len(piece) + 6, len(piece) + 2, context_id, control))
            pieces.append(piece)
        return b"".join(pieces)
