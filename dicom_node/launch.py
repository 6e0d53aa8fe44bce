"""`dicom-node up`: starts all processes of a node on one data folder, watches them, and ends them together.

The supervisor only starts, restarts and stops; it holds no data and opens no port. The rule: one node per data folder
(a lock says so), no process outlives it (the kernel ends children whose parent died, and the next start ends what
still hangs), and what a child needs to know it reads from `run/node.yaml`, the settings as resolved here.
"""

import errno
import fcntl
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import yaml

from dicom_node.broker import embedded_command
from dicom_node.errors import Rejected, Unavailable
from dicom_node.settings import Settings
from dicom_node.signals import die_with_parent, stop_on_signals

logger = logging.getLogger(__name__)

WATCH_INTERVAL_S = 0.1
HEALTHY_AFTER_S = 30.0
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
# Ended in this order, each group given its time: those that take work, those that do it, those they lean on.
STOP_GROUPS = (("serve", "dispatch"), ("worker",), ("index",), ("broker",))
STOP_S = 9.0


@dataclass
class Child:
    """One supervised process: how to start it, and how often that went wrong lately."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_again_at: float = 0.0
    pause_s: float = FIRST_PAUSE_S

    def start(self) -> None:
        """Start the process in a session of its own, bound to die with the supervisor."""
        self.process = subprocess.Popen(  # noqa: S603 - our own command lines
            self.command,
            env=os.environ | self.environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - the supervisor has no other thread while it forks
        )
        self.started_at = time.monotonic()

    def watch(self) -> None:
        """Restart the process when it has ended, after a pause that grows as long as it keeps ending."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.start_again_at:
                self.start()
        elif (status := self.process.poll()) is not None:
            if now - self.started_at > HEALTHY_AFTER_S:
                self.pause_s = FIRST_PAUSE_S
            logger.warning("%s ended with status %d; starting it again in %.1f s", self.name, status, self.pause_s)
            self.process = None
            self.start_again_at = now + self.pause_s
            self.pause_s = min(2 * self.pause_s, LONGEST_PAUSE_S)

    def send(self, number: signal.Signals) -> None:
        """Signal the process if it still runs; SIGKILL goes to everything in its session."""
        if self.process is None or self.process.poll() is not None:
            return
        try:
            if number is signal.SIGKILL:
                os.killpg(self.process.pid, number)
            else:
                self.process.send_signal(number)
        except ProcessLookupError:
            logger.debug("%s had just ended", self.name)

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self.process is not None and self.process.poll() is None


def run(settings: Settings, announce: Callable[[Settings], None]) -> int:
    """Run a node until SIGTERM or SIGINT; `announce` is called once it is ready. Return the exit status.

    Raises Rejected when another node runs on this data folder or a port is taken.
    """
    settings = resolve(settings)
    stop = stop_on_signals()
    with _lock(settings.run_dir):
        end_leftovers(settings.run_dir)
        _check_ports(settings)
        _write_private(settings.run_dir / "node.yaml", as_yaml(settings))
        children = plan(settings)
        try:
            _supervise(children, settings, stop, announce)
        finally:
            stop_all(children)
            (settings.run_dir / "processes.json").unlink(missing_ok=True)
    return 0


def resolve(settings: Settings) -> Settings:
    """Fill in what the supervisor decides: absolute folders, and ports for the metrics of its children."""
    _make_private(settings.data_dir)
    _make_private(settings.run_dir)
    data_dir = settings.data_dir.resolve()
    dispatch, worker, index = _free_ports(3)
    return settings.model_copy(
        update={
            "data_dir": data_dir,
            "metrics": settings.metrics.model_copy(
                update={
                    "dispatch_port": settings.metrics.dispatch_port or dispatch,
                    "worker_port": settings.metrics.worker_port or worker,
                }
            ),
            "index": settings.index.model_copy(
                update={
                    "data_dir": settings.index.data_dir.resolve(),
                    "metrics_port": settings.index.metrics_port or index,
                }
            ),
        }
    )


def plan(settings: Settings) -> list[Child]:
    """List the processes of a node, those that others lean on first."""
    config = ["--config", str(settings.run_dir / "node.yaml")]
    node = [sys.executable, "-m", "dicom_node"]
    threads = {
        "OMP_NUM_THREADS": str(settings.worker.torch_threads),
        # Spinning OpenMP threads starve everything else when the cores are contended.
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    children = [
        Child("index", [*node, "index", *config], {"OMP_WAIT_POLICY": "PASSIVE"}),
        Child("serve", [*node, "serve", *config]),
        Child("dispatch", [*node, "dispatch", *config]),
        Child("worker", [sys.executable, "-m", "workers", *config], threads),
    ]
    if not settings.broker.url:
        folder = settings.data_dir / "broker"
        _make_private(folder)
        _make_private(settings.broker_socket.parent)
        children.insert(0, Child("broker", embedded_command(settings.broker_socket, folder)))
    return children


def _supervise(
    children: list[Child], settings: Settings, stop: threading.Event, announce: Callable[[Settings], None]
) -> None:
    """Watch the children until told to stop; say once when the node has become ready."""
    ready = False
    known: dict[str, int] = {}
    while not stop.wait(WATCH_INTERVAL_S):
        for child in children:
            child.watch()
        pids = {child.name: child.process.pid for child in children if child.process}
        if pids != known:
            known = pids
            _write_private(settings.run_dir / "processes.json", _as_json(pids))
        if not ready and all(child.running for child in children) and _is_ready(settings):
            ready = True
            announce(settings)


def stop_all(children: list[Child]) -> None:
    """End all children in order, within STOP_S, the last ones by force."""
    deadline = time.monotonic() + STOP_S
    by_name = {child.name: child for child in children}
    for number, names in enumerate(STOP_GROUPS):
        group = [by_name[name] for name in names if name in by_name]
        for child in group:
            child.send(signal.SIGTERM)
        groups_left = len(STOP_GROUPS) - number
        _wait(group, time.monotonic() + max(0.1, (deadline - time.monotonic()) / groups_left * 1.5))
    for child in children:
        if child.running:
            logger.warning("%s did not end in time and is killed", child.name)
        child.send(signal.SIGKILL)
        if child.process is not None:
            child.process.wait()


def _wait(children: list[Child], deadline: float) -> None:
    for child in children:
        if child.process is None:
            continue
        try:
            child.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            logger.debug("%s takes longer to end", child.name)


def end_leftovers(run_dir: Path) -> None:
    """End the children of a supervisor that was killed; they are told by process id and start time."""
    try:
        processes = json.loads((run_dir / "processes.json").read_text()).values()
        left = {process["pid"]: process["start_time"] for process in processes}
    except (FileNotFoundError, ValueError):
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        alive = [pid for pid, start in left.items() if start is not None and _start_time(pid) == start]
        for pid in alive:
            logger.info("ending process %d of a node that was killed", pid)
            try:
                os.killpg(pid, number)
            except ProcessLookupError:
                continue
        deadline = time.monotonic() + 5.0
        while time.monotonic() < deadline and any(_start_time(pid) == left[pid] for pid in alive):
            time.sleep(0.05)


def _as_json(pids: dict[str, int]) -> str:
    return json.dumps({name: {"pid": pid, "start_time": _start_time(pid)} for name, pid in pids.items()})


def _start_time(pid: int) -> str | None:
    """Return when a process started, in the kernel's own unit, which tells it from a later one of the same number."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *rest = stat.rpartition(")")[2].split()
    return None if state == "Z" else rest[18]


def _is_ready(settings: Settings) -> bool:
    host = "127.0.0.1" if settings.http.host in {"0.0.0.0", "::"} else settings.http.host  # noqa: S104
    try:
        with urllib.request.urlopen(f"http://{host}:{settings.http.port}/readyz", timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _check_ports(settings: Settings) -> None:
    for name, host, port in (
        ("DICOM", settings.dicom.host, settings.dicom.port),
        ("HTTP", settings.http.host, settings.http.port),
    ):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
                raise Rejected(f"{name} port {port} on {host} {why}; choose another one") from error


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _lock(run_dir: Path) -> IO[bytes]:
    """Take the data folder for this supervisor; given back when the file is closed."""
    file = (run_dir / "lock").open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise Unavailable(f"another node runs on the data folder {run_dir.parent}") from error
    return file


def as_yaml(settings: Settings) -> str:
    """Return all options, as resolved, in the format of a configuration file."""
    return str(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False))


def _write_private(path: Path, text: str) -> None:
    temporary = path.with_suffix(".new")
    temporary.touch(mode=0o600)
    temporary.write_text(text)
    temporary.replace(path)


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
