"""The limited child, with a real child: what it gives, and every way it can end."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.pictures import DEFLATED, quadrants, write_picture
from workers.decoding import Decoder, DecoderLimits
from workers.errors import Rejected, Unavailable
from workers.pixels.reader import read_frames


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    """One decoder for the tests that leave it as it was."""
    with Decoder() as decoder:
        yield decoder


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return write_picture(tmp_path / "picture.dcm", quadrants(0, 100, 200, 400), BodyPartExamined="HAND")


@pytest.fixture
def stuck(tmp_path: Path) -> Path:
    """A file whose reading never ends: a pipe nobody writes to."""
    path = tmp_path / "stuck"
    os.mkfifo(path)
    return path


def wait_until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Poll for what another process does; fail at the deadline."""
    poll = threading.Event()
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        poll.wait(0.01)


def open_for_writing(pipe: Path) -> int:
    """Open a named pipe once a reader has; the reader then waits for bytes that do not come."""
    descriptors: list[int] = []

    def is_open() -> bool:
        try:
            descriptors.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return False
        return True

    wait_until(is_open)
    return descriptors[0]


def code_of(decoder: Decoder, path: Path) -> str:
    with pytest.raises(Rejected) as rejection:
        decoder.frames(path)
    return rejection.value.code


def test_frames_are_those_of_the_reader(decoder: Decoder, picture: Path) -> None:
    frames, expected = decoder.frames(picture), read_frames(picture)
    np.testing.assert_array_equal(frames.pixels, expected.pixels)
    assert frames.pixels.dtype == np.float32
    assert (frames.frame_numbers, frames.meta) == (expected.frame_numbers, expected.meta)
    assert frames.meta.body_part == "HAND"


def test_rejection_comes_through_with_its_code(decoder: Decoder, tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"no instance")
    assert code_of(decoder, tmp_path / "text") == "unreadable"


def test_missing_file_is_unavailable(decoder: Decoder, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="No such file"):
        decoder.frames(tmp_path / "missing")


def test_child_serves_many_jobs(decoder: Decoder, picture: Path) -> None:
    decoder.frames(picture)
    pid = decoder.child_pid
    decoder.frames(picture)
    assert decoder.child_pid == pid


def test_child_is_small_and_knows_no_model(decoder: Decoder, picture: Path) -> None:
    decoder.frames(picture)
    assert decoder.child_pid is not None
    assert "torch" not in Path(f"/proc/{decoder.child_pid}/maps").read_text(encoding="utf-8")
    assert len(psutil.Process(decoder.child_pid).threads()) == 1


def test_child_is_told_no_secrets_of_the_node(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DICOM_NODE__CATALOG_URL", "postgresql://user:password@host/db")
    with Decoder() as decoder:
        decoder.frames(picture)
        assert b"password" not in Path(f"/proc/{decoder.child_pid}/environ").read_bytes()


def test_maximum_frames_reaches_the_child(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "cine.dcm", np.stack([quadrants(0, 100, 200, 400)] * 20))
    with Decoder(DecoderLimits(maximum_frames=2)) as decoder:
        assert decoder.frames(path).frame_numbers == (6, 15)


def test_hanging_job_is_ended_in_time_and_the_next_one_served(stuck: Path, picture: Path) -> None:
    with Decoder(DecoderLimits(time_s=1.0)) as decoder:
        decoder.frames(picture)
        pid = decoder.child_pid
        started = time.monotonic()
        assert code_of(decoder, stuck) == "decoder_timeout"
        assert time.monotonic() - started < 5.0
        assert pid is not None
        assert not psutil.pid_exists(pid)
        assert decoder.frames(picture).frame_numbers == (1,)


def test_job_that_asks_for_too_much_memory_is_rejected(tmp_path: Path, picture: Path) -> None:
    # 48 Mi pixels of zeros behind a header; the file is sparse.
    small = write_picture(tmp_path / "large.dcm", quadrants(0, 1, 2, 3), Rows=8192, Columns=6144, PixelData=b"\1\0")
    data = small.read_bytes()
    place = data.index(b"\xe0\x7f\x10\x00")
    with small.open("r+b") as stream:
        stream.truncate(place + 12)
        stream.seek(place + 8)
        stream.write((8192 * 6144 * 2).to_bytes(4, "little"))
        stream.truncate(place + 12 + 8192 * 6144 * 2)
    with Decoder(DecoderLimits(memory_bytes=64 << 20)) as decoder:
        assert code_of(decoder, small) == "decoder_memory"
        assert decoder.frames(picture).frame_numbers == (1,)


def test_deflated_bomb_is_too_large(decoder: Decoder, tmp_path: Path) -> None:
    # One gigabyte of zeros in one megabyte.
    path = write_picture(tmp_path / "bomb.dcm", quadrants(0, 1, 2, 3), transfer_syntax=DEFLATED)
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    zeros = bytes(1 << 20)
    data = path.read_bytes()
    head = data[: data.index(DEFLATED.encode()) + len(DEFLATED)]
    path.write_bytes(head + b"".join(packer.compress(zeros) for _ in range(1024)) + packer.flush())
    assert path.stat().st_size < 2 << 20
    assert code_of(decoder, path) == "too_large"


def test_child_that_dies_idle_is_replaced(picture: Path) -> None:
    with Decoder() as decoder:
        decoder.frames(picture)
        assert decoder.child_pid is not None
        os.kill(decoder.child_pid, signal.SIGKILL)
        assert decoder.frames(picture).frame_numbers == (1,)


def test_job_that_kills_its_child_twice_is_rejected(stuck: Path, picture: Path) -> None:
    with Decoder() as decoder:
        decoder.frames(picture)
        codes: list[str] = []
        job = threading.Thread(target=lambda: codes.append(code_of(decoder, stuck)))
        job.start()
        killed: list[int | None] = [None]
        for signal_number in (signal.SIGKILL, signal.SIGSEGV):
            wait_until(lambda: decoder.child_pid not in killed)
            writer = open_for_writing(stuck)
            pid = decoder.child_pid
            assert pid is not None
            killed.append(pid)
            os.kill(pid, signal_number)
            os.close(writer)
        job.join(20.0)
        assert codes == ["undecodable"]


def test_child_is_replaced_after_its_share_of_jobs(picture: Path) -> None:
    with Decoder(DecoderLimits(jobs_per_child=1)) as decoder:
        decoder.frames(picture)
        pid = decoder.child_pid
        decoder.frames(picture)
        assert decoder.child_pid != pid


def test_group_signals_do_not_end_the_child(decoder: Decoder, picture: Path) -> None:
    decoder.frames(picture)
    pid = decoder.child_pid
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGINT)
    decoder.frames(picture)
    assert decoder.child_pid == pid


def test_close_ends_the_child(picture: Path) -> None:
    decoder = Decoder()
    decoder.frames(picture)
    pid = decoder.child_pid
    decoder.close()
    assert pid is not None
    assert not psutil.pid_exists(pid)
    assert decoder.child_pid is None


def test_child_goes_with_a_parent_that_is_killed(picture: Path) -> None:
    program = (
        "import sys, pathlib; from workers.decoding import Decoder\n"
        "decoder = Decoder(); decoder.frames(pathlib.Path(sys.argv[1])); print(decoder.child_pid, flush=True)\n"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(picture)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_kernel_ends_a_job_whose_parent_does_not(stuck: Path) -> None:
    orders = {"memory_bytes": 1 << 30, "time_s": 0.2, "maximum_frames": 32, "niceness": 0, "parent_pid": os.getpid()}
    with subprocess.Popen(
        [sys.executable, "-m", "workers.pixels.child", json.dumps(orders)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert json.loads(child.stdout.readline()) == {"ready": True, "size_bytes": 0}
        child.stdin.write(json.dumps({"path": str(stuck)}).encode() + b"\n")
        child.stdin.flush()
        assert child.wait(20.0) == -signal.SIGALRM


def test_threads_take_turns(decoder: Decoder, tmp_path: Path) -> None:
    paths = [write_picture(tmp_path / f"{number}.dcm", quadrants(0, 100 + number, 300, 400)) for number in range(8)]
    results: dict[int, float] = {}

    def decode(number: int) -> None:
        results[number] = round(float(decoder.frames(paths[number]).pixels[0, 32, 96]) * 400)

    threads = [threading.Thread(target=decode, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20.0)
    assert results == {number: 100 + number for number in range(8)}
