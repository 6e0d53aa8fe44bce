"""The upper layer of an association: pynetdicom's socket and provider thread, made to wait instead of polling.

Stock pynetdicom reads 4 KiB at a time, wakes a thousand times a second and believes any announced length. Here a PDU
is read into one buffer before a deadline, the thread sleeps until the socket or a primitive wakes it, and P-DATA
becomes views of that buffer. The rule: a length is checked before anything of that size is allocated.
"""

import logging
import queue
import select
import socket
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu_primitives import A_ABORT, A_ASSOCIATE, A_P_ABORT, A_RELEASE, P_DATA
from pynetdicom.transport import AssociationSocket

if TYPE_CHECKING:
    from dicom_node.dimse.association import ServedAssociation

logger = logging.getLogger(__name__)

PDU_HEADER = struct.Struct(">BxL")
PDV_HEADER = struct.Struct(">LB")
P_DATA_TF = 0x04
# 128 presentation contexts with fifty transfer syntaxes each stay below this; what else there is, is tiny.
LENGTH_LIMITS = {0x01: 1 << 20, 0x02: 1 << 20, 0x03: 64, 0x05: 64, 0x06: 64, 0x07: 64}
# Some senders count the six bytes of the PDV header wrongly.
DATA_TOLERANCE = 64
WAKE_S = 0.5
QUEUED_PRIMITIVES = 64


class Connection(AssociationSocket):
    """The socket of an accepted association."""

    def __init__(self, association: "ServedAssociation", client: socket.socket, timeout_s: float) -> None:
        """Wrap an accepted socket; a PDU must be read or written within `timeout_s`."""
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.settimeout(timeout_s)
        self._timeout_s = timeout_s
        super().__init__(association, client_socket=client)

    @property
    def ready(self) -> bool:
        """Tell whether there is something to read (select, which the base uses, fails above 1,023 descriptors)."""
        if self.socket is None or self.socket.fileno() < 0:
            return False
        poller = select.poll()
        poller.register(self.socket, select.POLLIN)
        return bool(poller.poll(0))

    def recv(self, nr_bytes: int) -> bytearray:
        """Read exactly `nr_bytes`, or fewer when the peer closed. Raises TimeoutError past the deadline."""
        connected = cast("socket.socket", self.socket)
        deadline = time.monotonic() + self._timeout_s
        buffer = bytearray(nr_bytes)
        filled = 0
        with memoryview(buffer) as view:
            while filled < nr_bytes:
                connected.settimeout(max(0.001, deadline - time.monotonic()))
                count = connected.recv_into(view[filled:])
                if not count:
                    break
                filled += count
        del buffer[filled:]
        return buffer

    def send(self, bytestream: bytes) -> None:
        """Write all of `bytestream`; when that fails the connection counts as closed."""
        try:
            connected = cast("socket.socket", self.socket)
            connected.settimeout(self._timeout_s)
            connected.sendall(bytestream)
        except (OSError, AttributeError):  # AttributeError: closed meanwhile
            self.event_queue.put("Evt17")


@dataclass(frozen=True, slots=True)
class DataTransfer:
    """A received P-DATA-TF PDU: (context ID, view of control header and fragment) of each PDV."""

    values: list[tuple[int, memoryview]]

    def to_primitive(self) -> P_DATA:
        """Return what the state machine hands to the message receiver."""
        primitive = P_DATA()
        primitive.presentation_data_value_list.extend(self.values)  # type: ignore[arg-type] # views, not copies
        return primitive


def parse_data_transfer(body: bytes | bytearray) -> DataTransfer:
    """Split the body of a P-DATA-TF PDU (PS3.8 9.3.5) into its PDVs. Raises ValueError when they do not fill it."""
    view = memoryview(body)
    values = []
    position = 0
    while position < len(view):
        if len(view) - position < PDV_HEADER.size:
            raise ValueError("a PDV header is cut off")
        length, context_id = PDV_HEADER.unpack_from(view, position)
        end = position + 4 + length
        if length < 2 or end > len(view):
            raise ValueError("a PDV has an impossible length")
        values.append((context_id, view[position + PDV_HEADER.size : end]))
        position = end
    return DataTransfer(values)


class Provider(DULServiceProvider):
    """The upper-layer thread of one association: reads PDUs, sends primitives, runs the state machine of PS3.8 9.2."""

    def __init__(self, association: "ServedAssociation") -> None:
        """Prepare the thread; the association starts it."""
        super().__init__(association)
        self.daemon = True
        self._served = association
        # Bounded, so that a fast query waits for a slow reader instead of filling memory.
        self.to_provider_queue = queue.Queue(maxsize=QUEUED_PRIMITIVES)
        self._waker, self._woken = socket.socketpair()
        for end in (self._waker, self._woken):
            end.setblocking(False)
        self._poller = select.poll()

    def send_pdu(self, primitive: A_ASSOCIATE | A_RELEASE | A_ABORT | A_P_ABORT | P_DATA) -> None:
        """Queue a primitive for sending; waits while too many are queued."""
        while self.is_alive():
            try:
                self.to_provider_queue.put(primitive, timeout=WAKE_S)
            except queue.Full:
                continue
            self.wake()
            return

    def wake(self) -> None:
        """Have the thread look at its queues."""
        try:
            self._waker.send(b"\0")
        except OSError:  # full: it is awake; closed: it has ended
            return

    def run_reactor(self) -> None:
        """Run until the connection is closed and the state machine idle."""
        connection = cast("AssociationSocket", self.socket)
        try:
            self._poller.register(cast("socket.socket", connection.socket), select.POLLIN)
            self._poller.register(self._woken, select.POLLIN)
            self._idle_timer.start()
            self._act()
            while not self._kill_thread:
                self._step()
        except Exception:
            logger.exception("association ended by an error of the upper layer")
            connection.close()
        finally:
            # Whoever waits for a primitive of the peer need not wait any longer.
            self.to_user_queue.put(A_P_ABORT())
            self._served.receiver.discard_unfinished()
            self._waker.close()
            self._woken.close()
            self._served.activity.set()

    def _step(self) -> None:
        self._wait()
        if self.artim_timer.expired:
            self.event_queue.put("Evt18")
            self._act()
        # In turn, so that a C-CANCEL is read while rows are being sent.
        if self._process_recv_primitive():
            self._act()
        if not self._kill_thread and self._is_transport_event():
            self._idle_timer.restart()
            self._act()

    def _wait(self) -> None:
        """Sleep until there may be something to do."""
        timeout_s = 0.0 if self.to_provider_queue.qsize() else WAKE_S
        for descriptor, _ in self._poller.poll(timeout_s * 1000):
            if descriptor == self._woken.fileno():
                self._woken.recv(4096)

    def _process_recv_primitive(self) -> bool:
        if self.state_machine.current_state == "Sta13":
            # Waiting for the connection to close (PS3.8 9.2.1): nothing may be sent any more.
            while self.to_provider_queue.qsize():
                self.to_provider_queue.get()
        return super()._process_recv_primitive()

    def _act(self) -> None:
        """Run the state machine until no event is left, then tell the association."""
        while not self._kill_thread and self.event_queue.qsize():
            self.state_machine.do_action(self.event_queue.get())
        if self.to_user_queue.qsize():
            self._served.activity.set()

    def _read_pdu_data(self) -> None:
        """Read one PDU and queue it with its event: Evt17 when the peer is gone, Evt19 for what is no PDU."""
        header = self._receive(PDU_HEADER.size)
        if header is None:
            self.event_queue.put("Evt17")
            return
        kind, length = PDU_HEADER.unpack(header)
        if length > self._length_limit(kind):
            self.event_queue.put("Evt19")
            return
        body = self._receive(length)
        if body is None:
            self.event_queue.put("Evt17")
            return
        try:
            pdu, event = (parse_data_transfer(body), "Evt10") if kind == P_DATA_TF else self._decode_pdu(header + body)
        except Exception as error:  # noqa: BLE001 - pynetdicom raises whatever its decoders stumble over
            logger.info("received a PDU that cannot be decoded: %s", type(error).__name__)
            self.event_queue.put("Evt19")
            return
        self._recv_pdu.put(pdu)  # type: ignore[arg-type] # DataTransfer stands for P_DATA_TF
        self.event_queue.put(event)

    def _length_limit(self, kind: int) -> int:
        if kind == P_DATA_TF:
            return self._served.maximum_pdu_bytes + DATA_TOLERANCE
        return LENGTH_LIMITS.get(kind, -1)

    def _receive(self, nr_bytes: int) -> bytearray | None:
        """Read exactly `nr_bytes`; None when the peer closes or stalls before."""
        try:
            data = cast("AssociationSocket", self.socket).recv(nr_bytes)
        except OSError:
            return None
        return data if len(data) == nr_bytes else None

    def kill_dul(self) -> None:
        """End the thread."""
        super().kill_dul()
        self.wake()

    def stop_dul(self) -> bool:
        """End the thread if the state machine is idle; tell whether it has ended."""
        self.wake()
        return super().stop_dul()
