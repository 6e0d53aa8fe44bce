"""`Decoder`: decodes stored instances in a child process with limits on time and memory.

Called by `embedding`, from threads if need be: one job at a time, others wait. The child is a fresh interpreter
(never a fork of a process that holds a model), serves many jobs, and is replaced when it dies, hangs, answers
nonsense or has served its share. A job can thus end in frames, Rejected or Unavailable, and in nothing else.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from workers.errors import CODES, Code, Rejected, Unavailable
from workers.pixels.frames import FRAME_SIZE, MAXIMUM_FRAMES, FrameMeta, Frames

_CHILD_MODULE = "workers.pixels.child"
_START_S = 60.0
_MAXIMUM_LINE_BYTES = 64 << 10
_MAXIMUM_BODY_BYTES = MAXIMUM_FRAMES * FRAME_SIZE * FRAME_SIZE * 4
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
# What an interpreter needs to start. The rest, URLs with passwords among it, is not for a process that reads hostile
# bytes.
_ENVIRONMENT = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "PYTHONPATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
)


@dataclass(frozen=True, slots=True)
class DecoderLimits:
    """What one job may use, in wall-clock seconds and in bytes beyond the idle child; and how the child is run.

    `maximum_frames` (1 to 32) is how many frames of an instance are sampled.
    """

    time_s: float = 10.0
    memory_bytes: int = 1 << 30
    maximum_frames: int = MAXIMUM_FRAMES
    jobs_per_child: int = 1000
    niceness: int = 0


class _ChildGoneError(Exception):
    """The child is gone; `signal_number` is 0 when it left by itself."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ} | _ONE_THREAD


class _Child:
    """One child process and the pipe to it."""

    def __init__(self, limits: DecoderLimits) -> None:
        self._limits = limits
        orders = {
            "memory_bytes": limits.memory_bytes,
            "time_s": limits.time_s,
            "maximum_frames": limits.maximum_frames,
            "niceness": limits.niceness,
            "parent_pid": os.getpid(),
        }
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", _CHILD_MODULE, json.dumps(orders)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=_environment(),
            )
        except OSError as error:
            raise Unavailable(f"start a decoder: {error.strerror}") from error
        self.jobs = 0
        self._pending = bytearray()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._stdout, selectors.EVENT_READ)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def _stdout(self) -> int:
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def wait_ready(self) -> None:
        """Wait for the first answer. Raises Unavailable when it does not come."""
        try:
            self._receive(time.monotonic() + _START_S)
        except (TimeoutError, _ChildGoneError) as error:
            self.end()
            raise Unavailable(f"start a decoder: no answer, exit status {self._process.poll()}") from error

    def has_ended(self) -> bool:
        """Say whether the process is gone."""
        return self._process.poll() is not None

    def ask(self, path: Path) -> tuple[dict[str, Any], bytes]:
        """Send one job and return its answer. Raises TimeoutError, _ChildGoneError, ValueError for nonsense."""
        self.jobs += 1
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"path": str(path)}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise _ChildGoneError(self._signal_number()) from error
        return self._receive(time.monotonic() + self._limits.time_s)

    def _receive(self, deadline: float) -> tuple[dict[str, Any], bytes]:
        while (end := self._pending.find(b"\n")) < 0:
            if len(self._pending) > _MAXIMUM_LINE_BYTES:
                raise ValueError("an endless line")
            self._read_more(deadline)
        header = json.loads(bytes(self._pending[:end]))
        size = int(header["size_bytes"])
        if not 0 <= size <= _MAXIMUM_BODY_BYTES:
            raise ValueError(f"an answer of {size} bytes")
        while len(self._pending) < end + 1 + size:
            self._read_more(deadline)
        body = bytes(self._pending[end + 1 : end + 1 + size])
        del self._pending[: end + 1 + size]
        return header, body

    def _read_more(self, deadline: float) -> None:
        if not self._selector.select(max(0.0, deadline - time.monotonic())):
            raise TimeoutError
        chunk = os.read(self._stdout, 1 << 20)
        if not chunk:
            raise _ChildGoneError(self._signal_number())
        self._pending += chunk

    def _signal_number(self) -> int:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        return max(0, -(self._process.poll() or 0))

    def end(self) -> None:
        """End the process and release its pipes."""
        self._process.kill()
        self._process.wait()
        self._selector.close()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


class Decoder:
    """A decoder child that is always there when needed. Thread-safe; close it, or use it in `with`."""

    def __init__(self, limits: DecoderLimits | None = None) -> None:
        self._limits = limits or DecoderLimits()
        self._lock = threading.Lock()
        self._child: _Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def child_pid(self) -> int | None:
        """The process id of the present child, None when none is running."""
        return None if self._child is None or self._child.has_ended() else self._child.pid

    def frames(self, path: Path) -> Frames:
        """Return the sampled frames of the Part 10 file at `path`.

        Raises Rejected with the reason (decoder_timeout and decoder_memory among them), Unavailable when the file
        cannot be read or no child can be started.
        """
        with self._lock:
            try:
                return self._attempt(path)
            except _ChildGoneError:
                # A death may be somebody else's doing (an operator, the kernel short of memory): try once more.
                self._drop_child()
            try:
                return self._attempt(path)
            except _ChildGoneError as ended:
                self._drop_child()
                raise _rejection_of(ended.signal_number) from ended

    def close(self) -> None:
        """End the child; a later call of `frames` starts another."""
        with self._lock:
            self._drop_child()

    def _attempt(self, path: Path) -> Frames:
        child = self._ready_child()
        try:
            header, body = child.ask(path)
            return _frames_of(header, body)
        except TimeoutError as error:
            self._drop_child()
            raise Rejected("decoder_timeout", f"decode an instance: not done in {self._limits.time_s:g} s") from error
        except (Rejected, Unavailable, _ChildGoneError):
            raise
        except (ValueError, KeyError, TypeError) as error:
            self._drop_child()  # out of step, or taken over by what it decoded: nothing it says counts any more
            raise Rejected("undecodable", f"decode an instance: nonsense from the decoder, {error}") from error
        except BaseException:
            self._drop_child()  # interrupted between question and answer: the next answer would be the wrong one
            raise

    def _ready_child(self) -> _Child:
        if self._child is not None and (self._child.has_ended() or self._child.jobs >= self._limits.jobs_per_child):
            self._drop_child()
        if self._child is None:
            child = _Child(self._limits)
            child.wait_ready()
            self._child = child
        return self._child

    def _drop_child(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


def _frames_of(header: dict[str, Any], body: bytes) -> Frames:
    """Check and unpack an answer; what the child says is as hostile as what it read. Raises ValueError for nonsense."""
    if "unavailable" in header:
        raise Unavailable(str(header["unavailable"])[:200])
    if "rejected" in header:
        raise Rejected(_code(header["rejected"]), str(header["message"])[:200])
    numbers = tuple(int(number) for number in header["frame_numbers"])
    pixels = np.frombuffer(body, "<f4").reshape(len(numbers), FRAME_SIZE, FRAME_SIZE).astype(np.float32)
    if not numbers or not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 1:
        raise ValueError("pixels out of range")
    return Frames(pixels, numbers, FrameMeta(**header["meta"]))


def _code(word: str) -> Code:
    if word not in CODES:
        raise ValueError("an unknown code")
    return word  # type: ignore[return-value]


def _rejection_of(signal_number: int) -> Rejected:
    """Say why a child died twice over the same instance."""
    if signal_number in (signal.SIGALRM, signal.SIGXCPU):
        return Rejected("decoder_timeout", "decode an instance: ended by its timer, twice")
    if signal_number == signal.SIGKILL:
        return Rejected("decoder_memory", "decode an instance: killed, twice")
    return Rejected("undecodable", f"decode an instance: the decoder died of signal {signal_number}, twice")
