"""The shard processes of this machine: started, started again when they end, ended with us. Called by `service`.

The rule: no shard process outlives its parent, however the parent ends, for it would keep the folder's lock.
"""

import ctypes
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from enum import IntEnum

from index_service.metrics import SHARD_RESTARTS

_logger = logging.getLogger(__name__)


class ExitStatus(IntEnum):
    """How a process of the index ends when it was not told to; numbers as in sysexits.h."""

    REJECTED = 64  # wrong settings, or a folder of another shard
    CORRUPT = 65
    UNAVAILABLE = 75


_PR_SET_PDEATHSIG = 1  # prctl(2)
# A process that lived so long was well: its next end is a new case, with the shortest pause.
_WELL_AFTER_S = 30.0
# One thread a numeric library: requests share the cores, not the threads of one request.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def end_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when `parent_pid`, its parent, ends; end now when that has happened already.

    To the kernel the parent is the thread that started this process: it has to live as long as this process shall.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent_pid:
        raise SystemExit(0)


class Child:
    """One shard process, kept running from `start` to `stop`."""

    def __init__(self, number: int, command: Sequence[str], *, delay_s: float, delay_max_s: float) -> None:
        self.number = number
        self._command = command
        self._delay_s = delay_s
        self._delay_max_s = delay_max_s
        self._process: subprocess.Popen[bytes] | None = None
        self._status: int | None = None
        self._spawning = threading.Lock()
        self._stopping = threading.Event()
        # The thread that starts the processes and lives as long as they shall, see `end_with_parent`.
        self._thread = threading.Thread(target=self._supervise, name=f"shard-{number}", daemon=True)

    def start(self) -> None:
        """Start the process and keep it running."""
        self._thread.start()

    def request_stop(self) -> None:
        """Ask the process to end, and do not start it again."""
        with self._spawning:
            self._stopping.set()
            if self._process is not None:
                self._process.terminate()

    def stop(self, timeout_s: float) -> None:
        """Return when the process has ended; kill it after `timeout_s`."""
        self.request_stop()
        self._thread.join(timeout_s)
        if self._thread.is_alive() and self._process is not None:
            _logger.warning("shard %d does not end in %.1f s and is killed", self.number, timeout_s)
            self._process.kill()
        self._thread.join()

    @property
    def refuses(self) -> bool:
        """Whether the process last ended for a reason that a new start will not mend."""
        return self._status in (ExitStatus.REJECTED, ExitStatus.CORRUPT)

    def _supervise(self) -> None:
        delay_s = self._delay_s
        while (process := self._spawn()) is not None:
            started = time.monotonic()
            self._status = status = process.wait()
            if self._stopping.is_set():
                return
            if time.monotonic() - started > _WELL_AFTER_S:
                delay_s = self._delay_s
            _logger.error("shard %d ended with status %d; next start in %.1f s", self.number, status, delay_s)
            self._stopping.wait(delay_s)
            delay_s = min(2 * delay_s, self._delay_max_s)
            SHARD_RESTARTS.labels(str(self.number)).inc()

    def _spawn(self) -> subprocess.Popen[bytes] | None:
        with self._spawning:
            if self._stopping.is_set():
                return None
            # A group of its own: Ctrl-C at a terminal goes to the parent, which ends its shards in order.
            self._process = subprocess.Popen(  # noqa: S603 - the command is this program
                self._command, env=os.environ | _ONE_THREAD, stdin=subprocess.DEVNULL, process_group=0
            )
            return self._process
