"""Every real file at hand through a running node: each gets a status that fits, and each accepted one an end."""

import csv
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from tests.dcmtk import PROPOSE
from tests.node import Node, running

# Statuses a C-STORE may end with here, in storescu's words or as a number.
REFUSALS = {
    "Error: CannotUnderstand",
    "Refused: SOPClassNotSupported",
    "Error: DataSetDoesNotMatchSOPClass",
    "Unknown Status: 0x117",
}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running(tmp_path / "data") as node:
        yield node


def states(node: Node) -> dict[str, tuple[str, str]]:
    """Return state and reason of each kept instance, by SOP Instance UID."""
    with sqlite3.connect(node.data / "catalog.sqlite") as connection:
        rows = connection.execute("SELECT sop_instance_uid, embedding_state, reason FROM instance")
        return {uid: (state, reason) for uid, state, reason in rows}


def test_every_file_of_the_zoo_ends_embedded_or_rejected_with_a_reason(node: Node, shared_data: Path) -> None:
    with (shared_data / "zoo" / "index.csv").open() as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    paths = sorted(path for path in (shared_data / "zoo").iterdir() if path.name in rows)
    by_dcmtk = [path for path in paths if rows[path.name]["transfer_syntax"] in PROPOSE]
    statuses = Counter(node.store(*by_dcmtk))
    assert set(statuses) <= {"Success", *REFUSALS}, statuses
    assert statuses["Success"] > 100
    # The others (JPEG 2000 part 2, HTJ2K, JPEG XL, …) are nothing DCMTK 3.6.7 can send.
    others = [str(path) for path in paths if path not in by_dcmtk]
    command = [sys.executable, "-m", "dicom_node", "store", "127.0.0.1", str(node.dicom_port), "-aec", "DICOMNODE"]
    subprocess.run([*command, *others], capture_output=True)
    counts = node.wait_settled(1, timeout_s=200)
    assert counts["failed"] == counts["pending"] == 0
    assert counts["stored"] == counts["embedded"] + counts["rejected"]
    outcomes = received(node)
    assert (outcomes["new"], outcomes["other_version"]) == (counts["stored"], counts["other_versions"])
    assert sum(outcomes.values()) > statuses["Success"]
    kept = states(node)
    assert all(reason for state, reason in kept.values() if state == "rejected")
    assert status_of_process(node)
    unexpected = {
        name: kept[uid] for name, uid in _decodable(paths, rows) if kept.get(uid, ("embedded",))[0] != "embedded"
    }
    right_reasons = ("nothing_to_embed", "blank", "too_large")
    assert {name: end for name, end in unexpected.items() if not end[1].startswith(right_reasons)} == {}


def received(node: Node) -> dict[str, int]:
    """Return how many instances were acknowledged, by outcome."""
    found = re.findall(r'instances_received_total\{outcome="(\w+)"\} (\d+)', node.text("/metrics"))
    return {outcome: int(count) for outcome, count in found}


def status_of_process(node: Node) -> bool:
    """Whether nothing had to be started again."""
    return "starting it again" not in node.log() and node.ready()


def _decodable(paths: list[Path], rows: dict[str, dict[str, str]]) -> Iterator[tuple[str, str]]:
    for path in paths:
        if rows[path.name]["decodable"] == "y":
            try:
                yield path.name, str(dcmread(path, stop_before_pixels=True, force=True).get("SOPInstanceUID", ""))
            except InvalidDicomError:
                continue


@pytest.mark.timeout(900)
def test_all_series_are_indexed_and_neighbours_are_of_the_same_kind(node: Node, all_series: Path) -> None:
    paths = sorted(path for path in all_series.rglob("*") if path.is_file())
    statuses = Counter(node.store(*paths))
    assert statuses == {"Success": len(paths)}
    counts = node.wait_settled(1, timeout_s=600)
    assert counts["failed"] == 0
    sent = {str(dcmread(path, stop_before_pixels=True, force=True).SOPInstanceUID) for path in paths}
    assert sent <= set(states(node))
    assert status_of_process(node)
    uids = {folder.name: study_uid(folder) for folder in all_series.iterdir()}
    for kind in ("sts_", "brainmr_"):
        alike = {uid for name, uid in uids.items() if name.startswith(kind)}
        nearest = {uid: nearest_study(node, uid) for uid in alike}
        assert {uid: other for uid, other in nearest.items() if other not in alike - {uid}} == {}


def study_uid(folder: Path) -> str:
    path = next(path for path in sorted(folder.rglob("*")) if path.is_file())
    return str(dcmread(path, stop_before_pixels=True).StudyInstanceUID)


def nearest_study(node: Node, uid: str) -> str:
    """Return the study that a workstation is told is most like this one."""
    rows = node.find("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={uid}", called="SIMILAR")
    assert rows[0].StudyInstanceUID == uid
    return str(rows[1].StudyInstanceUID)
