"""Group commit: many threads each wait for their own item, one of them writes all that are waiting at once.

Used for what must be durable before somebody is answered. The first to come writes, on its own thread, so that a lone
item costs no change of threads; who comes meanwhile waits, and the first of those writes the next batch. The rule:
`submit` returns or raises only after the batch that held the item has been applied or has failed.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from dicom_node.errors import Unavailable

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Waiter(Generic[Item, Result]):
    """An item, its result, and what its thread sleeps on until the result is there or it is its turn to write."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.future: Future[Result] = Future()
        self.woken = threading.Event()


class GroupCommit(Generic[Item, Result]):
    """Collects items while a batch is being applied, then applies all of them at once.

    `apply` gets the items in order of submission and returns one result for each; if it raises, every waiter of the
    batch gets that exception. It is called by one thread at a time.
    """

    def __init__(self, apply: Callable[[Sequence[Item]], Sequence[Result]], maximum: int = 256) -> None:
        """Write batches of at most `maximum` items with `apply`."""
        self._apply = apply
        self._maximum = maximum
        self._waiting: list[_Waiter[Item, Result]] = []
        self._changed = threading.Condition()
        self._writing = False
        self._closed = False

    def submit(self, item: Item) -> Result:
        """Have `item` written, wait for it, and return its result. Raises what `apply` raised."""
        waiter: _Waiter[Item, Result] = _Waiter(item)
        with self._changed:
            if self._closed:
                raise Unavailable("shutting down")
            self._waiting.append(waiter)
            is_first = not self._writing
            self._writing = True
        if not is_first:
            waiter.woken.wait()
        if not waiter.future.done():
            self._write_batch()
        return waiter.future.result()

    def close(self) -> None:
        """Refuse more, and wait until all that was submitted is written."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._writing)

    def _write_batch(self) -> None:
        """Write what waits, on the thread of the first of them; then wake the next to write, and the others."""
        with self._changed:
            batch, self._waiting = self._waiting[: self._maximum], self._waiting[self._maximum :]
        self._settle(batch)
        with self._changed:
            following = self._waiting[:1]
            self._writing = bool(following)
            self._changed.notify_all()
        for waiter in following + batch:
            waiter.woken.set()

    def _settle(self, batch: Sequence[_Waiter[Item, Result]]) -> None:
        try:
            results = self._apply([waiter.item for waiter in batch])
        except BaseException as error:  # noqa: BLE001 - every waiter raises it, also the one whose thread this is
            for waiter in batch:
                waiter.future.set_exception(error)
            return
        for waiter, result in zip(batch, results, strict=True):
            waiter.future.set_result(result)
