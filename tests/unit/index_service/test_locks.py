"""Readers share, a writer is alone, and a waiting writer goes before new readers."""

import threading

from index_service.locks import ReadWriteLock

DEADLINE_S = 5.0


def test_readers_share_the_lock() -> None:
    lock, together = ReadWriteLock(), threading.Barrier(2)

    def read() -> None:
        with lock.read():
            together.wait(DEADLINE_S)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert not together.broken


def test_a_writer_waits_for_readers_and_new_readers_wait_for_it() -> None:
    lock, order = ReadWriteLock(), []
    reading, writer_waits = threading.Event(), threading.Event()
    release = threading.Event()

    def first_reader() -> None:
        with lock.read():
            reading.set()
            release.wait(DEADLINE_S)
            order.append("first reader")

    def writer() -> None:
        writer_waits.set()
        with lock.write():
            order.append("writer")

    def second_reader() -> None:
        with lock.read():
            order.append("second reader")

    threads = [threading.Thread(target=first_reader)]
    threads[0].start()
    assert reading.wait(DEADLINE_S)
    threads.append(threading.Thread(target=writer))
    threads[1].start()
    assert writer_waits.wait(DEADLINE_S)
    while not lock._writers_waiting:  # the writer has said so and is about to wait
        pass
    threads.append(threading.Thread(target=second_reader))
    threads[2].start()
    release.set()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert order == ["first reader", "writer", "second reader"]
