"""Group commit: one thread writes the operations of all waiting callers to the log, syncs once, then applies them.

Called by `shard`. The rule: an operation is applied, and its caller answered, only after the sync that covers it.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from index_service.errors import Rejected, Unavailable, place_of
from index_service.log import LONGEST_PAYLOAD_BYTES, LogWriter, entry_bytes
from index_service.operations import Operation, encode

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Write:
    kind: int
    payload: bytes
    operation: Operation
    result: Future[int]


class Committer:
    """The one writer of a log.

    `apply` is called with the operations of one sync, in the order of the log, and returns a number for each;
    `after_sync` is called after each group, in the committing thread, and may replace the log by `rotate`.
    `on_failure` is called once when the log or the state can no longer be trusted: nothing is accepted from then on,
    and opening the shard anew is the way back.
    """

    def __init__(
        self,
        log: LogWriter,
        last_sequence: int,
        *,
        apply: Callable[[Sequence[Operation]], Sequence[int]],
        after_sync: Callable[[], None],
        on_failure: Callable[[], None],
        wait_s: float,
        batch_bytes: int,
    ) -> None:
        self.log = log
        self._last_sequence = last_sequence
        self._apply = apply
        self._after_sync = after_sync
        self._on_failure = on_failure
        self._wait_s = wait_s
        self._batch_bytes = batch_bytes
        self._failed = False
        self._closed = False
        self._submitting = threading.Lock()
        self._waiting: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()

    def submit(self, operation: Operation) -> int:
        """Log, sync and apply an operation; return what applying it gave. Raise Unavailable when it is not kept."""
        kind, payload = encode(operation)
        if len(payload) > LONGEST_PAYLOAD_BYTES:
            raise Rejected(f"a write of {len(payload)} bytes does not fit one entry of the log")
        write = _Write(kind, payload, operation, Future())
        with self._submitting:
            if self._closed or self._failed:
                raise Unavailable("the shard takes no more writes")
            self._waiting.put(write)
        return write.result.result()

    def rotate(self, log: LogWriter) -> None:
        """Go on in another log. Only from `after_sync`."""
        self.log.close()
        self.log = log

    def close(self) -> None:
        """Finish what was submitted and close the log."""
        with self._submitting:
            self._closed = True
            self._waiting.put(None)
        self._thread.join()
        self.log.close()

    def _run(self) -> None:
        more = True
        while more:
            group, more = self._next_group()
            if group:
                self._commit(group)

    def _next_group(self) -> tuple[list[_Write], bool]:
        """Wait for a write, then take what waits up to the byte limit; False when there is no more to come."""
        group: list[_Write] = []
        deadline: float | None = None
        while sum(len(write.payload) for write in group) < self._batch_bytes:
            try:
                write = self._waiting.get(timeout=deadline and max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if write is None:
                return group, False
            group.append(write)
            deadline = deadline or time.monotonic() + self._wait_s
        return group, True

    def _commit(self, group: Sequence[_Write]) -> None:
        try:
            self._log(group)
            results = self._apply([write.operation for write in group])
        except Exception as error:  # noqa: BLE001 - whatever it is, no caller may be left waiting
            self._refuse(group, error)
            return
        for write, result in zip(group, results, strict=True):
            write.result.set_result(result)
        try:
            self._after_sync()
        except Exception as error:  # noqa: BLE001 - the thread must live on, to refuse those who wait
            self._fail(error)

    def _log(self, group: Sequence[_Write]) -> None:
        if self._failed:
            raise Unavailable("the shard takes no more writes")
        numbered = enumerate(group, self._last_sequence + 1)
        self.log.append(b"".join(entry_bytes(number, write.kind, write.payload) for number, write in numbered))
        self._last_sequence += len(group)
        self.log.sync()

    def _refuse(self, group: Sequence[_Write], error: Exception) -> None:
        """Tell the callers; unless it was a write that could be undone (a full disk), trust nothing any more."""
        undone = isinstance(error, OSError) and not self.log.broken
        if not undone:
            self._fail(error)
        for write in group:
            refusal = Unavailable(f"the write could not be kept: {error}")
            refusal.__cause__ = error
            write.result.set_exception(refusal)

    def _fail(self, error: Exception) -> None:
        if not self._failed:
            _logger.error("the shard takes no more writes: %s", place_of(error))
            self._failed = True
            self._on_failure()
