"""The whole way, measured: `make bench`, or `python -m tests.benchmarks.end_to_end --instances 2000`.

Starts a node on embedded defaults in a fresh folder, stores CT instances of 526 kB with several DCMTK senders at once,
waits until all are searchable, asks for similar studies, and prints stored/s, searchable/s, lag, query times and the
peak memory of every process. The pictures are synthetic (ellipses and noise, all different).
"""

import argparse
import json
import sqlite3
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind

from tests.dicom import ct
from tests.node import Node, running
from tests.servers import require

SIDE = 512
SLICES_PER_STUDY = 40


def picture(study: int, number: int, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Return int16[512, 512] in Hounsfield units + 1024: an ellipse whose shape is the study's, organs, noise."""
    y, x = np.mgrid[-1:1:512j, -1:1:512j]
    shape = np.random.default_rng(study)
    a, b = shape.uniform(0.5, 0.9, 2)
    body = (x / a) ** 2 + (y / b) ** 2 < 1
    values = np.where(body, 1064, 24)
    for _ in range(6):
        cx, cy, r = shape.uniform(-0.4, 0.4), shape.uniform(-0.4, 0.4), shape.uniform(0.05, 0.25)
        organ = (x - cx) ** 2 + (y - cy + 0.004 * number) ** 2 < r**2
        values = np.where(organ & body, 1024 + shape.integers(-800, 900), values)
    return (values + rng.normal(0, 12, values.shape)).astype("<i2")


def write_instances(folder: Path, count: int) -> list[Path]:
    """Write `count` CT files; return their paths."""
    rng = np.random.default_rng(1)
    paths = []
    for index in range(count):
        study, number = divmod(index, SLICES_PER_STUDY)
        data_set = ct(
            SOPInstanceUID=f"2.25.55.{index}",
            StudyInstanceUID=f"2.25.56.{study}",
            SeriesInstanceUID=f"2.25.57.{study}",
            PatientID=f"BENCH{study}",
            AccessionNumber=f"B{study}",
            InstanceNumber=str(number + 1),
            Rows=SIDE,
            Columns=SIDE,
            PixelData=picture(study, number, rng).tobytes(),
        )
        data_set.file_meta = FileMetaDataset()
        data_set.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        path = folder / f"{index:05d}.dcm"
        dcmwrite(path, data_set, enforce_file_format=True)
        paths.append(path)
    return paths


def send(port: int, paths: list[Path], senders: int) -> float:
    """Store all files with that many storescu at once; return the seconds it took."""
    started = time.monotonic()
    processes = [
        subprocess.Popen(
            [require("storescu"), "-R", "-aec", "DICOMNODE", "127.0.0.1", str(port), *map(str, paths[n::senders])],
            env={"TCP_NODELAY": "1"},
        )
        for n in range(senders)
    ]
    failed = [process.args for process in processes if process.wait() != 0]
    if failed:
        raise RuntimeError(f"{len(failed)} of {senders} senders failed")
    return time.monotonic() - started


def query_times(port: int, studies: int, repeats: int) -> list[float]:
    """Return the seconds of whole similarity C-FINDs on one open association."""
    entity = AE("BENCH")
    entity.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    association = entity.associate("127.0.0.1", port, ae_title="SIMILAR")
    times = []
    for repeat in range(repeats):
        identifier = Dataset()
        identifier.QueryRetrieveLevel = "STUDY"
        identifier.StudyInstanceUID = f"2.25.56.{repeat % studies}"
        identifier.StudyComments = ""
        started = time.monotonic()
        rows = sum(
            1 for _, row in association.send_c_find(identifier, StudyRootQueryRetrieveInformationModelFind) if row
        )
        times.append(time.monotonic() - started)
        if rows < 2:
            raise RuntimeError(f"{rows} rows for study {repeat % studies}")
    association.release()
    return times


def lags(data: Path) -> list[float]:
    """Return received-to-searchable seconds of all instances."""
    with sqlite3.connect(data / "catalog.sqlite") as connection:
        return [lag for (lag,) in connection.execute("SELECT embedded_at - received_at FROM instance")]


def peak_memory_mb(node: Node) -> dict[str, float]:
    """Return the peak resident memory of each process, the shards and the decoder by their own names, in MB."""
    peaks: dict[str, float] = {"supervisor": _peak_mb(node.pid)}
    for name, pid in node.processes().items():
        peaks[name] = _peak_mb(pid)
        for number, child in enumerate(_children(pid)):
            peaks[f"{name} child {number}"] = _peak_mb(child)
    return peaks


def _children(pid: int) -> list[int]:
    return [int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()]


def _peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def percentile(values: list[float], part: float) -> float:
    """Return the value below which that part of the values lies."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def measure(instances: int, senders: int) -> dict[str, Any]:
    """Run the benchmark; return the figures."""
    with tempfile.TemporaryDirectory(prefix="dicom-node-bench-") as folder:
        (Path(folder) / "files").mkdir()
        paths = write_instances(Path(folder) / "files", instances)
        with running(Path(folder) / "data") as node:
            store_s = send(node.dicom_port, paths, senders)
            started = time.monotonic()
            counts = node.wait_settled(instances, timeout_s=1800)
            searchable_s = store_s + time.monotonic() - started
            if counts["embedded"] != instances:
                raise RuntimeError(f"not all embedded: {counts}")
            lag = lags(node.data)
            times = query_times(node.dicom_port, instances // SLICES_PER_STUDY, repeats=200)
            return {
                "instances": instances,
                "senders": senders,
                "stored_per_s": round(instances / store_s, 1),
                "searchable_per_s": round(instances / searchable_s, 1),
                "lag_p50_s": round(statistics.median(lag), 2),
                "lag_p99_s": round(percentile(lag, 0.99), 2),
                "similarity_find_p50_ms": round(1000 * statistics.median(times), 1),
                "similarity_find_p99_ms": round(1000 * percentile(times, 0.99), 1),
                "peak_memory_mb": {name: round(peak) for name, peak in peak_memory_mb(node).items()},
            }


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=2000)
    parser.add_argument("--senders", type=int, default=4)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    arguments = parser.parse_args()
    figures = measure(arguments.instances, arguments.senders)
    if arguments.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        if isinstance(value, dict):
            print(name)
            for key, number in value.items():
                print(f"  {key:<24}{number:>8}")
        else:
            print(f"{name:<26}{value:>8}")


if __name__ == "__main__":
    main()
