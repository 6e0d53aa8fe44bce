"""kill -9 of each process in turn in the middle of many stores: what was acknowledged becomes searchable, once.

The short form stores 60 instances for each process killed; `make faults` runs the long one with 2,000 in all.
"""

import os
import signal
import threading
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE

from index_service.client import IndexClient
from index_service.port import Example
from tests.dicom import ct
from tests.node import Node, running
from tests.servers import accepts, wait_for

VICTIMS = ("broker", "index", "worker", "dispatch", "serve")
STUDIES = 20


class Sender:
    """Stores instances one after the other, as a scanner does: what is not acknowledged is sent again."""

    def __init__(self, port: int, instances: list[Dataset]) -> None:
        self._port = port
        self._instances = instances
        self.acknowledged: list[str] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)
        assert not self._thread.is_alive(), f"{len(self.acknowledged)} of {len(self._instances)} stored in time"

    def _run(self) -> None:
        left = list(self._instances)
        while left:
            wait_for(lambda: accepts(self._port), "the edge listening", 30)
            left = self._send(left)

    def _send(self, instances: list[Dataset]) -> list[Dataset]:
        entity = AE("SCANNER")
        entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
        association = entity.associate("127.0.0.1", self._port, ae_title="DICOMNODE")
        left = list(instances)
        while left and association.is_established:
            status = association.send_c_store(left[0])
            if status and status.Status == 0x0000:
                self.acknowledged.append(str(left.pop(0).SOPInstanceUID))
            elif not status:
                break
        association.release() if association.is_established else association.abort()
        return left


def instances(count: int, start: int) -> Iterator[Dataset]:
    for number in range(start, start + count):
        data_set = ct(
            SOPInstanceUID=f"2.25.77.{number}",
            SeriesInstanceUID=f"2.25.78.{number % STUDIES}",
            StudyInstanceUID=f"2.25.79.{number % STUDIES}",
            PatientID=f"P{number % STUDIES}",
            PixelData=bytes((number % 250 + 1) * k % 251 for k in range(2048)),
        )
        data_set.file_meta = Dataset()  # type: ignore[assignment]
        data_set.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        yield data_set


def check_everything_is_searchable_once(node: Node, acknowledged: set[str]) -> None:
    counts = node.wait_settled(len(acknowledged), timeout_s=180)
    assert (counts["stored"], counts["embedded"], counts["failed"]) == (len(acknowledged), len(acknowledged), 0)
    assert len(list((node.data / "archive").rglob("*.dcm"))) == len(acknowledged)
    client = IndexClient(f"unix:{node.data}/index/run/index.sock")
    (space,) = client.spaces()
    keys = [record.key for study in range(STUDIES) for record in client.fetch(space.name, Example(f"2.25.79.{study}"))]
    assert sorted(keys) == sorted(acknowledged)
    assert sum(shard.vectors for shard in client.stats()) == len(acknowledged)
    client.close()


def kill_in_turn(node: Node, per_victim: int) -> None:
    acknowledged: set[str] = set()
    for turn, victim in enumerate(VICTIMS):
        acknowledged |= store_while_killing(node, victim, list(instances(per_victim, turn * per_victim)))
    assert len(acknowledged) == per_victim * len(VICTIMS)
    node.wait_ready()
    check_everything_is_searchable_once(node, acknowledged)


def store_while_killing(node: Node, victim: str, to_store: list[Dataset]) -> set[str]:
    sender = Sender(node.dicom_port, to_store)
    sender.start()
    third = len(to_store) // 3
    wait_for(lambda: len(sender.acknowledged) >= third, f"a third stored before {victim} is killed", 60)
    before = node.processes()[victim]
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: node.processes().get(victim) not in {before, None}, f"{victim} restarted", 30)
    sender.wait(180)
    return set(sender.acknowledged)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    # A lost message is sent again when its lease runs out; the default is longer than a test likes to wait.
    with running(tmp_path / "data", {"DICOM_NODE__DISPATCH__LEASE_S": "5"}) as node:
        yield node


def test_kill_each_process_short(node: Node) -> None:
    kill_in_turn(node, per_victim=60)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_kill_each_process_long(node: Node) -> None:
    kill_in_turn(node, per_victim=400)


def test_the_node_listens_again_within_three_seconds(node: Node) -> None:
    before = node.processes()["serve"]
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{before}").exists(), "the edge gone", 5)
    wait_for(lambda: node.status_code("/healthz") == 200, "the edge serving again", 3)


def test_a_killed_shard_makes_answers_partial_and_is_back(node: Node) -> None:
    sender = Sender(node.dicom_port, list(instances(40, 0)))
    sender.start()
    sender.wait(60)
    node.wait_settled(40)
    index = node.processes()["index"]
    shards = [int(pid) for task in Path(f"/proc/{index}/task").glob("*/children") for pid in task.read_text().split()]
    assert len(shards) == 2
    os.kill(shards[0], signal.SIGSTOP)  # away, without being restarted
    try:
        answers = [similar(node, f"2.25.79.{study}") for study in range(4)]
    finally:
        os.kill(shards[0], signal.SIGKILL)
    # Half of the studies are on the other shard: no answer can be whole, and one without vectors is a refusal.
    assert {answer["partial"] if answer else "refused" for answer in answers} <= {True, "refused"}
    assert any(answers)
    wait_for(node.ready, "the shard back", 30, interval_s=0.2)
    answer = similar(node, "2.25.79.1")
    assert answer is not None
    assert (answer["partial"], len(answer["matches"])) == (False, STUDIES - 1)


def similar(node: Node, uid: str) -> dict[str, Any] | None:
    """Return the studies like one; None when that is refused for the time being."""
    try:
        answer: dict[str, Any] = node.get(f"/api/studies/{uid}/similar?k=30")
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 503:
            raise
        return None
    return answer
