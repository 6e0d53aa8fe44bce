"""The same flow by configuration alone: every process started by itself, on Redis and PostgreSQL, two workers."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import yaml
from pydicom import dcmread

from tests.dcmtk import findscu, storescu
from tests.e2e.test_main_walk import some_files
from tests.servers import free_port, wait_for


@contextmanager
def process(log: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as file:
        child = subprocess.Popen([sys.executable, "-m", *arguments], stdout=file, stderr=file, env=os.environ)
    try:
        yield child
    finally:
        child.terminate()
        child.wait(15)


def test_the_main_walk_on_redis_and_postgresql(
    tmp_path: Path, all_series: Path, redis_url: str, postgres_url: str
) -> None:
    dicom_port, http_port, index_port = free_port(), free_port(), free_port()
    config = tmp_path / "node.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "data_dir": str(tmp_path / "data"),
                "catalog": {"url": postgres_url},
                "broker": {"url": redis_url},
                "index": {"listen": f"127.0.0.1:{index_port}", "shards": 3},
                "dicom": {"port": dicom_port},
                "http": {"port": http_port},
            }
        )
    )

    def status(path: str) -> dict[str, object]:
        with urllib.request.urlopen(f"http://127.0.0.1:{http_port}{path}", timeout=10) as response:
            answer: dict[str, object] = json.loads(response.read())
            return answer

    def ready() -> bool:
        try:
            return bool(status("/readyz"))
        except OSError:
            return False

    with ExitStack() as stack:
        commands = [("dicom_node", "index"), ("dicom_node", "serve"), ("dicom_node", "dispatch")]
        for number, command in enumerate([*commands, ("dicom_node", "worker"), ("dicom_node", "worker")]):
            log = tmp_path / f"{number}-{command[-1]}.log"
            stack.enter_context(process(log, *command, "--config", str(config)))
        wait_for(ready, "the node ready", 90, interval_s=0.2)
        names = ("lungct_A0002_B40f", "abdomenct_dupe-positions", "sts_STS_005_CT", "headct_ge")
        paths = [path for name in names for path in some_files(all_series, name, 10)]
        assert storescu(dicom_port, paths) == ["Success"] * 40

        def embedded() -> bool:
            return status("/api/status")["instances"]["embedded"] == 40  # type: ignore[index]

        wait_for(embedded, "40 instances embedded", 90, interval_s=0.2)
        example, nearest = (
            str(dcmread(some_files(all_series, name, 1)[0], stop_before_pixels=True).StudyInstanceUID)
            for name in names[:2]  # both show the chest
        )
        rows = findscu(dicom_port, ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={example}"], "SIMILAR")
        assert [row.StudyInstanceUID for row in rows[:2]] == [example, nearest]
        shards = status("/api/status")["index"]["shards"]  # type: ignore[index]
        assert [shard["available"] for shard in shards] == [True, True, True]
