"""The gate: accepts connections and lets through those that have sent a whole A-ASSOCIATE-RQ.

One thread with a selector for all of them, however many. The rule: before its request is whole a connection costs a
descriptor and a few kB, and no longer than its deadline; when there are too many, the one that has waited longest goes.
"""

import errno
import logging
import resource
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from dicom_node.dimse.engine import conversation as protocol
from dicom_node.dimse.engine.conversation import NEED_DATA, AssociationRequested, Conversation, Limits
from dicom_node.dimse.engine.violation import Violation

logger = logging.getLogger(__name__)

LISTEN_BACKLOG = 1024
ACCEPTED_AT_ONCE = 64
MAXIMUM_WAITING = 4096
BREATH_S = 0.05

Admit = Callable[[socket.socket, Conversation, AssociationRequested], None]


class Gate:
    """A listening socket and the connections before their request. `start`, then `stop` once."""

    def __init__(self, address: tuple[str, int], limits: Limits, admit: Admit) -> None:
        """Listen; `admit` gets the non-blocking socket of each whole request. Raises OSError."""
        self._limits = limits
        self._admit = admit
        self._listener = _listen(address)
        self.port: int = self._listener.getsockname()[1]
        self._waker, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        for watched in (self._listener, self._woken):
            self._selector.register(watched, selectors.EVENT_READ)
        # In the order in which they came, so in that of their deadlines.
        self._waiting: dict[socket.socket, Conversation] = {}
        self._maximum_waiting = min(MAXIMUM_WAITING, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
        self._thread = threading.Thread(target=self._run, name="dicom-gate", daemon=True)

    @property
    def waiting(self) -> int:
        """How many connections have not sent their request yet."""
        return len(self._waiting)

    def start(self) -> None:
        """Begin to accept."""
        self._thread.start()

    def stop(self) -> None:
        """Accept nothing more, and drop the connections whose request is not whole."""
        with suppress(OSError):  # stopped before
            self._waker.send(b"\0")
        self._thread.join()

    def _run(self) -> None:
        try:
            while self._step():
                self._drop_late(time.monotonic())
        finally:
            for connection in [*self._waiting, self._listener, self._woken, self._waker]:
                connection.close()
            self._waiting.clear()
            self._selector.close()

    def _step(self) -> bool:
        """Wait for whatever comes first, and see to it; tell whether to go on."""
        for key, _ in self._selector.select(self._next_deadline_s()):
            if key.fileobj is self._woken:
                return False
            if key.fileobj is self._listener:
                self._accept()
            elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._waiting:
                self._receive(key.fileobj)
        return True

    def _next_deadline_s(self) -> float | None:
        oldest = next(iter(self._waiting.values()), None)
        return None if oldest is None else max(0.0, oldest.deadline - time.monotonic())

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._bear(error)
                return
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if len(self._waiting) >= self._maximum_waiting:
                self._drop(next(iter(self._waiting)))
            self._waiting[connection] = Conversation(self._limits, time.monotonic())
            self._selector.register(connection, selectors.EVENT_READ)

    def _bear(self, error: OSError) -> None:
        """Make room where descriptors ran out; else the peer was gone before it was accepted."""
        if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
            return
        logger.warning("a connection could not be accepted: %s", error.strerror)
        if self._waiting:
            self._drop(next(iter(self._waiting)))
        else:
            time.sleep(BREATH_S)

    def _receive(self, connection: socket.socket) -> None:
        conversation = self._waiting[connection]
        try:
            count = connection.recv_into(conversation.space())
            conversation.received(count, time.monotonic())
            event = conversation.next_event()
        except BlockingIOError:
            return
        except OSError:
            self._drop(connection)
            return
        except Violation as violation:
            logger.info("dropped a connection: %s", violation)
            self._drop(connection, protocol.abort())
            return
        if isinstance(event, AssociationRequested):
            self._let_through(connection, conversation, event)
        elif event is not NEED_DATA or not count:
            self._drop(connection)

    def _let_through(self, connection: socket.socket, conversation: Conversation, event: AssociationRequested) -> None:
        self._selector.unregister(connection)
        del self._waiting[connection]
        try:
            self._admit(connection, conversation, event)
        except Exception:
            logger.exception("an association could not be served")
            connection.close()

    def _drop_late(self, now: float) -> None:
        while self._waiting:
            connection, conversation = next(iter(self._waiting.items()))
            if conversation.deadline > now:
                return
            self._drop(connection)

    def _drop(self, connection: socket.socket, last_words: bytes = b"") -> None:
        self._selector.unregister(connection)
        del self._waiting[connection]
        with suppress(OSError):
            connection.send(last_words)
        connection.close()


def _listen(address: tuple[str, int]) -> socket.socket:
    listener = socket.create_server(address, backlog=LISTEN_BACKLOG)
    listener.setblocking(False)
    return listener
