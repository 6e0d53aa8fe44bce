"""Orthanc as the neighbouring PACS: it sends us studies, queries us, and has us send studies to it."""

import base64
import json
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from tests.e2e.test_main_walk import some_files
from tests.node import Node, running
from tests.servers import accepts, free_port, require, wait_for


class Orthanc:
    """A running Orthanc and its REST interface."""

    def __init__(self, port: int) -> None:
        self._port = port

    def request(self, path: str, body: Any = None) -> Any:
        """GET a path, or POST a body (bytes, or what becomes JSON) to it; return the JSON of the answer."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}{path}", data)
        request.add_header("Authorization", "Basic " + base64.b64encode(b"test:test").decode())
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.loads(response.read() or b"null")


@contextmanager
def orthanc(folder: Path, node: Node, dicom_port: int) -> Iterator[Orthanc]:
    """Run an Orthanc that knows both AE titles of the node, and listens on a port that the node knows."""
    http_port = free_port()
    config = folder / "orthanc.json"
    config.write_text(
        json.dumps(
            {
                "Name": "neighbour",
                "StorageDirectory": str(folder),
                "IndexDirectory": str(folder),
                "HttpPort": http_port,
                "DicomPort": dicom_port,
                "DicomAet": "ORTHANC",
                "RegisteredUsers": {"test": "test"},
                "DicomModalities": {
                    "archive": ["DICOMNODE", "127.0.0.1", node.dicom_port],
                    "similar": ["SIMILAR", "127.0.0.1", node.dicom_port],
                },
            }
        )
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([require("Orthanc"), str(config)], stdout=log, stderr=log, env={"TCP_NODELAY": "1"})
    try:
        wait_for(lambda: accepts(http_port), "Orthanc listening", 60)
        yield Orthanc(http_port)
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def dicom_port() -> int:
    """Where Orthanc listens: the node's peer ORTHANC."""
    return free_port()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, dicom_port: int) -> Iterator[Node]:
    peers = json.dumps([{"ae_title": "ORTHANC", "host": "127.0.0.1", "port": dicom_port}])
    with running(tmp_path_factory.mktemp("orthanc-node") / "data", {"DICOM_NODE__PEERS": peers}) as node:
        yield node


def test_orthanc_sends_us_studies_and_finds_what_is_similar(
    node: Node, dicom_port: int, all_series: Path, tmp_path: Path
) -> None:
    with orthanc(tmp_path, node, dicom_port) as pacs:
        uids = {}
        for name in ("sts_STS_004_CT", "sts_STS_007_CT", "headct_ge"):
            for path in some_files(all_series, name, 8):
                study = pacs.request("/instances", path.read_bytes())["ParentStudy"]
            answer = pacs.request("/modalities/archive/store", study)
            assert (answer["InstancesCount"], answer["FailedInstancesCount"]) == (8, 0)
            uids[name] = str(dcmread(path, stop_before_pixels=True).StudyInstanceUID)
        assert node.wait_settled(24)["embedded"] == 24
        assert pacs.request("/modalities/archive/echo", {}) in ({}, None)

        def query(modality: str, keys: dict[str, str]) -> list[str]:
            made = pacs.request(f"/modalities/{modality}/query", {"Level": "Study", "Query": keys})
            answers = pacs.request(f"/queries/{made['ID']}/answers?expand&simplify")
            return [answer["StudyInstanceUID"] for answer in answers]

        wanted = {"StudyInstanceUID": uids["sts_STS_004_CT"], "PatientID": "", "StudyDate": ""}
        assert query("archive", wanted) == [uids["sts_STS_004_CT"]]
        assert query("similar", wanted)[:2] == [uids["sts_STS_004_CT"], uids["sts_STS_007_CT"]]


@pytest.mark.parametrize("modality", ["archive", "similar"])
def test_orthanc_has_a_study_moved_to_itself(
    node: Node, dicom_port: int, all_series: Path, tmp_path: Path, modality: str
) -> None:
    paths = some_files(all_series, "sts_STS_004_CT", 8)
    assert node.store(*paths) == ["Success"] * 8
    study = str(dcmread(paths[0], stop_before_pixels=True).StudyInstanceUID)
    with orthanc(tmp_path, node, dicom_port) as pacs:
        made = pacs.request(f"/modalities/{modality}/query", {"Level": "Series", "Query": {"StudyInstanceUID": study}})
        pacs.request(f"/queries/{made['ID']}/retrieve", {"TargetAet": "ORTHANC", "Synchronous": True})
        held = {
            pacs.request(f"/instances/{each}")["MainDicomTags"]["SOPInstanceUID"] for each in pacs.request("/instances")
        }
    assert held == {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in paths}
