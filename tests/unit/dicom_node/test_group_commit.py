"""Group commit: batches while one is being written, an exception for all of a batch, nothing lost at the end."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from dicom_node.catalog.writer import GroupCommit
from dicom_node.errors import Unavailable
from tests.servers import wait_for


class Disk:
    """Writes batches, the first of them only when it may."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may_write = threading.Event()

    def write(self, batch: Sequence[int]) -> list[int]:
        self.batches.append(list(batch))
        assert self.may_write.wait(10)
        if 13 in batch:
            raise Unavailable("full")
        return [item * 10 for item in batch]


def test_what_comes_during_a_batch_is_the_next_batch() -> None:
    disk = Disk()
    commit = GroupCommit(disk.write, maximum=3)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(commit.submit, 0)
        wait_for(lambda: disk.batches, "the first being written", interval_s=0.001)
        others = []
        for item in (1, 2, 3, 4, 5):
            others.append(pool.submit(commit.submit, item))
            wait_for(lambda item=item: len(commit._waiting) == item, "waiting", interval_s=0.001)  # type: ignore[misc]
        disk.may_write.set()
        assert [future.result(10) for future in (first, *others)] == [0, 10, 20, 30, 40, 50]
    assert disk.batches == [[0], [1, 2, 3], [4, 5]]


def test_a_failure_is_everybodys_of_that_batch_and_nobody_elses() -> None:
    disk = Disk()
    disk.may_write.set()
    commit = GroupCommit(disk.write)
    with pytest.raises(Unavailable, match="full"):
        commit.submit(13)
    assert commit.submit(1) == 10


def test_many_threads_get_their_own_results() -> None:
    disk = Disk()
    disk.may_write.set()
    commit = GroupCommit(disk.write)
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(commit.submit, range(100, 1100))) == [item * 10 for item in range(100, 1100)]
    assert sorted(item for batch in disk.batches for item in batch) == list(range(100, 1100))


def test_closing_writes_what_waits_and_refuses_more() -> None:
    disk = Disk()
    commit = GroupCommit(disk.write)
    with ThreadPoolExecutor(2) as pool:
        last = pool.submit(commit.submit, 7)
        wait_for(lambda: disk.batches, "being written", interval_s=0.001)
        closed = pool.submit(commit.close)
        wait_for(lambda: commit._closed, "closing", interval_s=0.001)
        with pytest.raises(Unavailable, match="shutting down"):
            commit.submit(8)
        assert not closed.done()
        disk.may_write.set()
        closed.result(10)
        assert last.result(10) == 70
