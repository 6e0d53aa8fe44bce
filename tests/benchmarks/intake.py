"""Intake and answers of the DIMSE port, beside Orthanc (SyncStorageArea) and DCMTK's storescp (which syncs nothing).

`python -m tests.benchmarks.intake --folder FOLDER` measures them in turn, step by step, on FOLDER's disk in fresh
folders, with one and the same raw-socket sender, and prints figures and ratios; `--only ours` leaves the others out,
`--count N` sets the number of instances of a measurement. Ours is the whole durable path: synced file, synced folder,
committed SQLite catalog and outbox before each Success. Ratios count: the machine is never quiet.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from tests.benchmarks.peer import Peer
from tests.benchmarks.receivers import RECEIVERS
from tests.dicom import ct, encoded

ASSOCIATIONS = (1, 4, 16)
SIDES = {"ct": 512, "small": 62}  # 526 kB and 8 kB
UID_DIGITS = 24
SLICES = 40
QUERY_ONE = "C-FIND one match, ms"


def uid(kind: int, number: int) -> str:
    """Return a UID of a fixed length, so that a template's can be replaced."""
    return f"2.25.{kind}{number:0{UID_DIGITS}}"


def template(side: int) -> bytes:
    """Encode a CT instance whose UIDs are placeholders."""
    pixels = bytes(range(256)) * (side * side * 2 // 256 + 1)
    data_set = ct(
        SOPInstanceUID=uid(1, 0),
        StudyInstanceUID=uid(2, 0),
        SeriesInstanceUID=uid(3, 0),
        Rows=side,
        Columns=side,
        PixelData=pixels[: side * side * 2],
    )
    return encoded(data_set, ExplicitVRLittleEndian)


def send(port: int, called: str, size: str, start: int, count: int, per_study: int) -> None:
    """Store `count` new instances on one association."""
    whole = template(SIDES[size])
    with Peer(port, called) as peer:
        message = peer.store_message(uid(1, 0), whole)
        for number in range(start, start + count):
            own = message.replace(uid(1, 0).encode(), uid(1, number).encode())
            head, tail = own[:4096], own[4096:]
            for kind in (2, 3):
                head = head.replace(uid(kind, 0).encode(), uid(kind, number // per_study).encode())
            peer.ask(head + tail)


def stored_per_s(port: int, called: str, size: str, first: int, count: int, associations: int) -> float:
    """Store with so many associations at once, from a process of its own; return instances a second."""
    arguments = [str(value) for value in (port, called, size, first, count, associations)]
    result = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.intake", "--send", *arguments], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return float(result.stdout)


def send_all(port: int, called: str, size: str, first: int, count: int, associations: int) -> float:
    """Store from threads of this process; return instances a second."""
    each = count // associations
    per_study = 1 if size == "small" else SLICES
    threads = [
        threading.Thread(target=send, args=(port, called, size, first + number * each, each, per_study))
        for number in range(associations)
    ]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return each * associations / (time.monotonic() - started)


def echo_ms(port: int, called: str) -> float:
    """Return the median of C-ECHO on an open association."""
    with Peer(port, called) as peer:
        return median_ms(peer, peer.echo_message(), 1000)


def median_ms(peer: Peer, message: bytes, count: int) -> float:
    """Return the median time from request to final response."""
    times = []
    for _ in range(count):
        started = time.perf_counter()
        peer.ask(message)
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000


def associations_per_s(port: int, called: str, count: int = 300) -> float:
    """Open and release associations one after the other."""
    started = time.monotonic()
    for _ in range(count):
        with Peer(port, called):
            pass
    return count / (time.monotonic() - started)


def query(study: str) -> bytes:
    """Encode a study level Identifier as workstations send it."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = study
    for keyword in ("PatientName", "PatientID", "StudyDate", "StudyTime", "AccessionNumber", "StudyDescription"):
        setattr(identifier, keyword, "")
    return encoded(identifier, ExplicitVRLittleEndian)


def find_one_ms(port: int, called: str) -> float:
    """Return the median of a query with one match."""
    with Peer(port, called) as peer:
        return median_ms(peer, peer.find_message(query(uid(2, 1_000_001))), 100)


def rows_per_s(port: int, called: str) -> float:
    """Return the rows a second of queries that all studies match, some 1,000."""
    with Peer(port, called) as peer:
        started = time.perf_counter()
        rows = sum(peer.ask(peer.find_message(query(""))) for _ in range(3))
        return rows / (time.perf_counter() - started)


def measurements(count: int) -> dict[str, Callable[[int, str], float]]:
    """List what is measured of each receiver, in order: what a query finds has been stored before."""
    steps: dict[str, Callable[[int, str], float]] = {"C-ECHO p50, ms": echo_ms, "associations/s": associations_per_s}
    for round_, associations in enumerate(ASSOCIATIONS):
        steps[f"CT 526 kB/s on {associations}"] = partial(
            stored_per_s, size="ct", first=1 + round_ * count, count=count, associations=associations
        )
    for round_, associations in enumerate(ASSOCIATIONS):
        steps[f"8 kB/s on {associations}"] = partial(
            stored_per_s, size="small", first=1_000_000 * (round_ + 1), count=max(count, 320), associations=associations
        )
    return steps | {QUERY_ONE: find_one_ms, "C-FIND rows/s": rows_per_s}


def measure(names: Sequence[str], folder: Path, count: int) -> dict[str, dict[str, float]]:
    """Measure the receivers in turn, step by step, so that what else the machine does meets all of them alike."""
    figures: dict[str, dict[str, float]] = {name: {} for name in names}
    with ExitStack() as stack:
        running = {name: stack.enter_context(RECEIVERS[name](_fresh(folder / name))) for name in names}
        for what, step in measurements(count).items():
            for name, (port, called) in running.items():
                if name != "storescp" or "C-FIND" not in what:
                    figures[name][what] = step(port, called)
    return figures


def _fresh(folder: Path) -> Path:
    folder.mkdir()
    return folder


def report(figures: dict[str, dict[str, float]]) -> None:
    """Print a table, and how ours compares: more than 1 is better than the other, whichever way the figure goes."""
    names = list(figures)
    print("| | " + " | ".join(names) + "".join(f" | ours : {name}" for name in names[1:]) + " |")
    print("|---" * (2 * len(names)) + "|")
    for what, own in figures[names[0]].items():
        values = [figures[name].get(what) for name in names]
        ratios = [None if value is None else (value / own if "ms" in what else own / value) for value in values[1:]]
        cells = ["-" if value is None else f"{value:.3g}" for value in values]
        print(f"| {what} | " + " | ".join(cells + ["-" if r is None else f"{r:.2f}" for r in ratios]) + " |")


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description="Intake and answers, beside Orthanc and storescp")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--count", type=int, default=320)
    parser.add_argument("--only", choices=list(RECEIVERS))
    parser.add_argument("--send", nargs=6, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.send:
        port, called, size, first, count, associations = options.send
        print(send_all(int(port), called, size, int(first), int(count), int(associations)))
        return
    folder = Path(tempfile.mkdtemp(prefix="intake-", dir=options.folder))
    figures = measure([options.only] if options.only else list(RECEIVERS), folder, options.count)
    shutil.rmtree(folder)
    report(figures)


if __name__ == "__main__":
    main()
