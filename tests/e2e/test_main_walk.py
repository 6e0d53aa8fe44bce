"""The main job as its user sees it: a scanner stores, a workstation asks which studies look alike."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.dcmtk import dcmtk
from tests.node import Node, running
from tests.servers import free_port, wait_for

SERIES = ("sts_STS_004_CT", "sts_STS_004_PET", "sts_STS_005_CT", "sts_STS_005_PET", "headct_ge", "wristmr_ge")


def some_files(all_series: Path, name: str, count: int) -> list[Path]:
    """Return `count` files of a series, evenly taken."""
    paths = sorted(path for path in (all_series / name).rglob("*") if path.is_file())
    return paths[:: max(1, len(paths) // count)][:count]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, all_series: Path) -> Iterator[Node]:
    """A node that holds some slices of six series of three kinds."""
    with running(tmp_path_factory.mktemp("walk") / "data") as node:
        paths = [path for name in SERIES for path in some_files(all_series, name, 12)]
        assert node.store(*paths) == ["Success"] * len(paths)
        counts = node.wait_settled(len(paths))
        assert (counts["embedded"], counts["rejected"], counts["failed"]) == (len(paths), 0, 0)
        yield node


def study_uid(all_series: Path, name: str) -> str:
    return str(dcmread(some_files(all_series, name, 1)[0], stop_before_pixels=True).StudyInstanceUID)


def test_the_example_comes_first_then_studies_of_its_kind(node: Node, all_series: Path) -> None:
    uid, alike = study_uid(all_series, "sts_STS_004_CT"), study_uid(all_series, "sts_STS_005_CT")
    rows = node.find(
        "QueryRetrieveLevel=STUDY", f"StudyInstanceUID={uid}", "0032,4000", "ModalitiesInStudy", called="SIMILAR"
    )
    assert [row.StudyInstanceUID for row in rows[:2]] == [uid, alike]
    assert rows[0].StudyComments.startswith("SIM #00 1.000")
    assert rows[1].StudyComments.startswith("SIM #01 0.")
    assert list(rows[1].ModalitiesInStudy) == ["CT", "PT"]


def test_an_accession_number_names_the_example(node: Node, all_series: Path) -> None:
    data_set = dcmread(some_files(all_series, "sts_STS_004_CT", 1)[0], stop_before_pixels=True)
    accession_number = str(data_set.AccessionNumber)
    rows = node.find("QueryRetrieveLevel=STUDY", f"AccessionNumber=*{accession_number}*", called="SIMILAR")
    assert rows[0].AccessionNumber == accession_number
    assert len(rows) == 3  # the other sarcoma patient, and the head CT: MR is not compared with CT


def test_the_archive_answers_ordinary_queries(node: Node, all_series: Path) -> None:
    uid = study_uid(all_series, "headct_ge")
    (row,) = node.find("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={uid}", "NumberOfStudyRelatedInstances")
    assert row.NumberOfStudyRelatedInstances == 12


def test_the_rest_door_gives_the_same_ranking(node: Node, all_series: Path) -> None:
    uid = study_uid(all_series, "sts_STS_004_CT")
    rows = node.find("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={uid}", called="SIMILAR")
    answer = node.get(f"/api/studies/{uid}/similar?k=8")
    assert [match["study_instance_uid"] for match in answer["matches"]] == [row.StudyInstanceUID for row in rows[1:]]
    assert answer["partial"] is False


def test_prometheus_can_watch_every_process(node: Node) -> None:
    assert "dicom_node_instances_received_total" in node.text("/metrics")
    assert "dicom_node_received_to_searchable_seconds_bucket" in node.text("/metrics/worker")
    assert "dicom_node_announced_total" in node.text("/metrics/dispatch")
    assert "dicom_node_index" in node.text("/metrics/index")


def test_an_unknown_called_ae_title_is_rejected(node: Node) -> None:
    result = dcmtk("echoscu", "-aec", "NOBODY", "127.0.0.1", str(node.dicom_port))
    assert "Called AE Title Not Recognized" in result.stderr


def test_two_nodes_run_side_by_side(node: Node, tmp_path: Path) -> None:
    with running(tmp_path / "second") as second:
        assert second.instances()["stored"] == 0
        assert node.instances()["stored"] > 0


def test_a_second_node_on_the_same_data_folder_is_refused(node: Node) -> None:
    second = Node(node.data)
    result = subprocess.run(
        [
            *(sys.executable, "-m", "dicom_node", "up", "--data", str(node.data)),
            *("--dicom-port", str(second.dicom_port), "--http-port", str(second.http_port)),
        ],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert result.returncode == 4
    assert "another node runs on the data folder" in result.stderr


def test_a_port_that_is_in_use_is_named(node: Node, tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "dicom_node", "up", "--data", str(tmp_path / "d")),
        "--http-port",
        str(free_port()),
    ]
    result = subprocess.run(
        [*command, "--dicom-port", str(node.dicom_port)], capture_output=True, text=True, timeout=30
    )
    assert result.returncode == 3
    assert f"DICOM port {node.dicom_port}" in result.stderr
    assert "is in use" in result.stderr


def _alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists() and "Z" not in _state(pid)]


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *_descendants(int(child))]
    return found


def test_sigterm_ends_everything_in_time_and_leaves_no_orphan(tmp_path: Path) -> None:
    with running(tmp_path / "data") as node:
        family = _descendants(node.pid)
        assert len(family) >= 7  # broker, index and two shards, edge, dispatcher, worker
        started = time.monotonic()
        assert node.stop() == 0
        assert time.monotonic() - started < 10
        assert _alive(family) == []


def test_a_killed_supervisor_leaves_nothing_and_the_next_start_goes_on(tmp_path: Path, all_series: Path) -> None:
    with running(tmp_path / "data") as node:
        (path,) = some_files(all_series, "headct_ge", 1)
        assert node.store(path) == ["Success"]
        node.wait_settled(1)
        family = _descendants(node.pid)
        node.kill()
        wait_for(lambda: not _alive(family), "the children of a killed supervisor ended", 15)
        node.start()
        assert node.instances()["embedded"] == 1


def test_a_hanging_child_of_a_killed_supervisor_is_ended_by_the_next_start(tmp_path: Path) -> None:
    with running(tmp_path / "data") as node:
        worker = node.processes()["worker"]
        os.kill(worker, signal.SIGSTOP)  # it cannot even notice that its supervisor is gone
        node.kill()
        node.start()
        assert _alive([worker]) == []
