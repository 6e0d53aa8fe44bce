"""The socket of an established connection and its conversation, on the thread that serves the association.

The rule: no wait is longer than the conversation's deadline, and whatever ends the connection raises `Ended` (or
Violation), so that the one who serves it cleans up in one place.
"""

import math
import select
import socket
import time
from contextlib import suppress

from dicom_node.dimse.engine import conversation as protocol
from dicom_node.dimse.engine.conversation import NEED_DATA, Aborted, Conversation, Event
from dicom_node.dimse.engine.violation import Violation

FLUSH_BYTES = 1 << 16
FLUSH_S = 0.01
LINGER_S = 0.5


class Ended(Exception):
    """The association is over: the peer has gone or aborted, or was silent for too long, or we stop."""


class Channel:
    """Events in, messages out. For one thread, but for `interrupt_when_idle` and `interrupt`."""

    def __init__(self, connection: socket.socket, conversation: Conversation, send_timeout_s: float) -> None:
        """Take over a non-blocking, connected socket."""
        self._connection = connection
        self._conversation = conversation
        self._send_timeout_s = send_timeout_s
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(connection, select.POLLIN)
        self._writable.register(connection, select.POLLOUT)
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._sent_at = 0.0
        self._held: Event | None = None
        self._failure: Ended | Violation | None = None
        self._stopping = False
        self._waits_idle = False

    def next_event(self, within_s: float = math.inf) -> Event:
        """Wait for the next event, at most `within_s`; what is unsent is sent first. Raises Ended, Violation."""
        event = self.event_at_hand()
        if event is None:
            try:
                self.flush()
                self._conversation.heard(time.monotonic())
                event = self._awaited(time.monotonic() + within_s)
            except Ended as end:
                self._failure = end
                raise
        self._held = None
        return event

    def event_at_hand(self) -> Event | None:
        """Return the next event if it has come already, and keep it for `next_event`.

        Raises Ended or Violation; once raised, always.
        """
        if self._failure is not None:
            raise self._failure
        try:
            return self._look()
        except (Ended, Violation) as failure:
            self._failure = failure
            raise

    def drop_held(self) -> None:
        """Forget the event that `event_at_hand` returned: it has been acted on."""
        self._held = None

    def send(self, context_id: int, command: bytes, data: bytes | memoryview = b"") -> None:
        """Have a message sent: at once after a pause or when much is unsent, else with what follows.

        What is unsent goes before the next wait at last, so a caller never needs to flush.
        """
        for piece in self._conversation.message(context_id, command, data):
            self.write(piece)
        if time.monotonic() - self._sent_at > FLUSH_S:
            self.flush()

    def write(self, piece: bytes | memoryview) -> None:
        """Have encoded bytes sent."""
        self._unsent.append(bytes(piece))
        self._unsent_bytes += len(piece)
        if self._unsent_bytes >= FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send all that is unsent. Raises Ended when the peer does not take it in time."""
        if not self._unsent:
            return
        view = memoryview(b"".join(self._unsent))
        self._unsent.clear()
        self._unsent_bytes = 0
        deadline = time.monotonic() + self._send_timeout_s
        try:
            while view:
                view = view[self._send_some(view, deadline) :]
        except OSError as error:
            raise Ended("the connection was lost") from error
        self._sent_at = time.monotonic()

    def interrupt_when_idle(self) -> None:
        """Have `next_event` raise Ended as soon as it waits for a request of which nothing has come; for any thread."""
        self._stopping = True
        if self._waits_idle:
            self.interrupt()

    def interrupt(self) -> None:
        """Have whatever waits for the peer raise Ended; for any thread."""
        with suppress(OSError):  # closed meanwhile
            self._connection.shutdown(socket.SHUT_RD)

    def abort(self) -> None:
        """Say that the association is over, as far as the peer listens."""
        self._unsent.clear()
        with suppress(OSError):
            self._connection.send(protocol.abort())
            self._connection.shutdown(socket.SHUT_WR)
            self._linger()

    def close(self) -> None:
        """Close the socket."""
        self._connection.close()

    def _look(self) -> Event | None:
        while self._held is None:
            event = self._conversation.next_event()
            if isinstance(event, Aborted):
                raise Ended("aborted by the peer")
            if event is not NEED_DATA:
                self._held = event
            elif not self._receive():
                break
        return self._held

    def _linger(self) -> None:
        """Let the peer read our last words: closing with unread data would take them back (RFC 1122 4.2.2.13)."""
        deadline = time.monotonic() + LINGER_S
        while (left_s := deadline - time.monotonic()) > 0 and self._readable.poll(left_s * 1000):
            if not self._connection.recv(1 << 16):
                return

    def _awaited(self, deadline: float) -> Event:
        event = None
        while event is None:
            self._wait(deadline)
            event = self.event_at_hand()
        return event

    def _wait(self, deadline: float) -> None:
        """Wait until something has come. Raises Ended after either deadline, or when we stop."""
        self._waits_idle = self._conversation.is_idle
        if self._waits_idle and self._stopping:
            raise Ended("stopping")
        left_s = min(deadline, self._conversation.deadline) - time.monotonic()
        if left_s <= 0 or not self._readable.poll(left_s * 1000):
            raise Ended("the peer was silent or slow for too long")
        self._waits_idle = False

    def _receive(self) -> bool:
        """Receive what has come; tell whether there was any."""
        try:
            count = self._connection.recv_into(self._conversation.space())
        except BlockingIOError:
            return False
        except OSError as error:
            raise Ended("the connection was lost") from error
        if not count:
            raise Ended("the peer closed the connection")
        self._conversation.received(count, time.monotonic())
        return True

    def _send_some(self, view: memoryview, deadline: float) -> int:
        try:
            return self._connection.send(view)
        except BlockingIOError:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not self._writable.poll(left_s * 1000):
                raise Ended("the peer did not read") from None
            return 0
