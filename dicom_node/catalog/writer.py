"""Group commit: many threads each wait for their own item, one thread writes all that are waiting at once.

Used for what must be durable before somebody is answered. The rule: `submit` returns or raises only after the batch
that held the item has been applied or has failed.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from dicom_node.errors import Unavailable

Item = TypeVar("Item")
Result = TypeVar("Result")


class GroupCommit(Generic[Item, Result]):
    """Collects items while a batch is being applied, then applies all of them at once.

    `apply` gets the items in order of submission and returns one result for each; if it raises, every waiter of the
    batch gets that exception.
    """

    def __init__(self, apply: Callable[[Sequence[Item]], Sequence[Result]], maximum: int = 256) -> None:
        """Write batches of at most `maximum` items with `apply`, on a thread of its own."""
        self._apply = apply
        self._maximum = maximum
        self._waiting: list[tuple[Item, Future[Result]]] = []
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)
        self._thread.start()

    def submit(self, item: Item) -> Result:
        """Have `item` written, wait for it, and return its result. Raises what `apply` raised."""
        future: Future[Result] = Future()
        with self._changed:
            if self._closed:
                raise Unavailable("shutting down")
            self._waiting.append((item, future))
            self._changed.notify()
        return future.result()

    def close(self) -> None:
        """Write what is waiting, then end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._next_batch():
            self._write(batch)

    def _next_batch(self) -> list[tuple[Item, Future[Result]]]:
        """Wait for items; an empty batch means closed and drained."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            batch, self._waiting = self._waiting[: self._maximum], self._waiting[self._maximum :]
            return batch

    def _write(self, batch: list[tuple[Item, Future[Result]]]) -> None:
        try:
            results = self._apply([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - every waiter raises it
            for _, future in batch:
                future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            future.set_result(result)
