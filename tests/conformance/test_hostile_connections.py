"""Connections that mean no association: they cost others nothing, and are gone when their time is up."""

import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from tests.dcmtk import dcmtk
from tests.scp import IMPLICIT, associated, serving
from tests.servers import wait_for

VERIFICATION = "1.2.840.10008.1.1"
HOSTILE = [b"", b"\x01", b"\x01\0\0\x0f\0\0" + bytes(500), b"\x01\0\0\0\x02\0\0\x01"]


def test_many_silent_and_slow_connections_leave_others_unharmed(tmp_path: Path) -> None:
    with serving(tmp_path / "data", {"acse_timeout_s": 8.0, "maximum_associations": 2}) as scp, ExitStack() as stack:
        before = threading.active_count()
        for number in range(300):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", scp.port)))
            client.sendall(HOSTILE[number % len(HOSTILE)])
        wait_for(lambda: scp.server.connections == 300, "all connected")
        assert threading.active_count() == before
        started = time.monotonic()
        assert dcmtk("echoscu", "-aec", "DICOMNODE", "127.0.0.1", str(scp.port)).returncode == 0
        assert time.monotonic() - started < 2.0
        wait_for(lambda: scp.server.connections == 0, "all dropped at their deadline")


def test_an_association_that_falls_silent_within_a_message_is_ended(tmp_path: Path) -> None:
    with (
        serving(tmp_path / "data", {"network_timeout_s": 0.5}) as scp,
        associated(scp.port, [(VERIFICATION, [IMPLICIT])]) as association,
    ):
        raw = association.dul.socket
        assert raw is not None
        raw.send(b"\x04\0\0\0\0\x50\0\0")
        wait_for(lambda: association.is_aborted, "the association aborted")
        wait_for(lambda: scp.server.connections == 0, "the thread gone")


def test_a_listener_stops_with_connections_still_waiting(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as scp, socket.create_connection(("127.0.0.1", scp.port)) as client:
        wait_for(lambda: scp.server.connections == 1, "connected")
        scp.server.stop(1.0)
        assert scp.server.connections == 0
        client.settimeout(5)
        assert client.recv(1) == b""
