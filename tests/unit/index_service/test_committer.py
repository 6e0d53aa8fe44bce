"""Group commit: writers that wait together share a sync, and nothing is applied before the sync that covers it."""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from index_service.committer import Committer
from index_service.errors import Unavailable
from index_service.log import LOG_MAGIC, LogWriter, file_header, read_entries
from index_service.operations import Delete, Operation
from tests.servers import wait_for

WRITERS = 8


class HeldSync:
    """The real fdatasync, counted; the first one waits until it is let go."""

    def __init__(self) -> None:
        self.count = 0
        self.released = threading.Event()
        self._sync = os.fdatasync

    def __call__(self, fd: int) -> None:
        self.count += 1
        assert self.released.wait(10)
        self._sync(fd)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_bytes(file_header(LOG_MAGIC))
    return path


def committer(path: Path, apply: Callable[[Sequence[Operation]], list[int]], **changes: object) -> Committer:
    options: dict[str, object] = {
        "after_sync": lambda: None,
        "on_failure": lambda: None,
        "wait_s": 0.0,
        "batch_bytes": 2**20,
    }
    return Committer(LogWriter(path), 0, apply=apply, **(options | changes))


def test_writers_that_wait_share_a_sync_and_are_applied_after_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = HeldSync()
    monkeypatch.setattr(os, "fdatasync", held)
    applied: list[Operation] = []

    def apply(operations: Sequence[Operation]) -> list[int]:
        applied.extend(operations)
        return [len(operation.groups) for operation in operations]

    writer = committer(path, apply)
    operations = [Delete("s", groups=tuple("g" * (i + 1))) for i in range(WRITERS)]
    with ThreadPoolExecutor(WRITERS) as threads:
        results = [threads.submit(writer.submit, operations[0])]
        wait_for(lambda: held.count == 1, "the first sync")
        results += [threads.submit(writer.submit, operation) for operation in operations[1:]]
        wait_for(lambda: writer._waiting.qsize() == WRITERS - 1, "the others waiting")
        assert applied == []
        held.released.set()
        assert [result.result(10) for result in results] == list(range(1, WRITERS + 1))
    writer.close()
    assert held.count == 2
    assert len(list(read_entries(path, LOG_MAGIC, 1))) == WRITERS
    assert applied[0] == operations[0]


def test_a_writer_may_wait_for_others_to_share_its_sync(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = HeldSync()
    held.released.set()
    monkeypatch.setattr(os, "fdatasync", held)
    payload = len(Delete("s", groups=("g",)).groups)
    # It waits for far longer than the test may take, or until the bytes of both are there.
    writer = committer(path, lambda operations: [payload] * len(operations), wait_s=60.0, batch_bytes=12)
    with ThreadPoolExecutor(2) as threads:
        results = [threads.submit(writer.submit, Delete("s", groups=("g",))) for _ in range(2)]
        assert [result.result(10) for result in results] == [1, 1]
    writer.close()
    assert held.count == 1


def test_what_fails_while_being_applied_is_told_and_nothing_is_accepted_after_it(path: Path) -> None:
    failures: list[str] = []

    def apply(_: Sequence[Operation]) -> list[int]:
        raise KeyError("a key")

    writer = committer(path, apply, on_failure=lambda: failures.append("failed"))
    for _ in range(2):
        with pytest.raises(Unavailable):
            writer.submit(Delete("s"))
    writer.close()
    with pytest.raises(Unavailable):
        writer.submit(Delete("s"))
    assert failures == ["failed"]
    assert len(list(read_entries(path, LOG_MAGIC, 1))) == 1
