"""A whole node for tests, run as its user runs it: `dicom-node up` in a process of its own, asked over the network."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom import Dataset

from tests.dcmtk import findscu, storescu
from tests.servers import free_port, wait_for

READY_S = 90.0
STOP_S = 10.0


class Node:
    """A running node. `environment` sets options (`DICOM_NODE__…`)."""

    def __init__(self, data: Path, environment: Mapping[str, str] | None = None) -> None:
        self.data = data
        self.dicom_port = free_port()
        self.http_port = free_port()
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The supervisor."""
        assert self._process is not None
        return self._process.pid

    def start(self, wait: bool = True) -> None:
        """Start the supervisor, and wait until the node is ready."""
        log = (self.data.parent / f"{self.data.name}.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "dicom_node", "up", "--data", str(self.data)),
                    *("--dicom-port", str(self.dicom_port), "--http-port", str(self.http_port)),
                ],
                env=os.environ | self._environment,
                stdout=log,
                stderr=log,
            )
        if wait:
            self.wait_ready()

    def wait_ready(self, timeout_s: float = READY_S) -> None:
        """Wait until /readyz says so."""
        wait_for(lambda: self.ready() or self._died(), "the node ready", timeout_s, interval_s=0.2)
        assert not self._died(), self.log()

    def ready(self) -> bool:
        """Whether /readyz answers 200."""
        return self.status_code("/readyz") == 200

    def stop(self) -> int:
        """End the node as an operator does; return the exit status. Fails when that takes too long."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(STOP_S)

    def kill(self) -> None:
        """End the supervisor with SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Make sure nothing runs any more."""
        if self._process is not None and self._process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill()

    def log(self) -> str:
        """Return all that was logged."""
        return (self.data.parent / f"{self.data.name}.log").read_text(errors="replace")

    def processes(self) -> dict[str, int]:
        """Return the process ids of the children, by name."""
        file = self.data / "run" / "processes.json"
        try:
            return {name: int(child["pid"]) for name, child in json.loads(file.read_text()).items()}
        except FileNotFoundError:
            return {}

    def status_code(self, path: str) -> int:
        """Return the HTTP status of a GET; 0 when nothing answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=5) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        except OSError:
            return 0

    def get(self, path: str) -> Any:
        """Return the JSON of a GET."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=30) as response:
            return json.loads(response.read())

    def text(self, path: str) -> str:
        """Return the text of a GET."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=30) as response:
            return str(response.read().decode())

    def instances(self) -> dict[str, int]:
        """Return the counts of instances by state."""
        counts: dict[str, int] = self.get("/api/status")["instances"]
        return counts

    def wait_settled(self, stored: int, timeout_s: float = 120.0) -> dict[str, int]:
        """Wait until `stored` instances are kept and none is pending; return the counts."""

        def settled() -> bool:
            try:
                counts = self.instances()
            except OSError:
                return False
            return counts["stored"] >= stored and counts["pending"] == 0

        wait_for(settled, f"{stored} instances settled", timeout_s, interval_s=0.2)
        return self.instances()

    def store(self, *paths: Path, called: str = "DICOMNODE") -> list[str]:
        """Send files with DCMTK's storescu; return the text of each response status."""
        return storescu(self.dicom_port, paths, called)

    def find(self, *keys: str, called: str = "DICOMNODE", model: str = "-S") -> list[Dataset]:
        """Query with DCMTK's findscu; return the identifiers of the rows, in order."""
        return findscu(self.dicom_port, keys, called, model)

    def _died(self) -> bool:
        return self._process is not None and self._process.poll() is not None


@contextmanager
def running(data: Path, environment: Mapping[str, str] | None = None) -> Iterator[Node]:
    """Run a node that is ready, and make sure that it ends."""
    node = Node(data, environment)
    node.start(wait=False)
    try:
        node.wait_ready()
        yield node
    finally:
        node.end()
