"""How every process of the node learns that it should end, and dies with its supervisor."""

import ctypes
import signal
import sys
import threading

PR_SET_PDEATHSIG = 1


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set; call from the main thread."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def die_with_parent() -> None:
    """Have the kernel send SIGTERM to this process when its parent dies, however it dies (Linux; elsewhere nothing).

    For use between fork and exec: the setting survives the exec.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
