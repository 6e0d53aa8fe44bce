"""The receivers that `intake` compares, each a process on a fresh folder: ours, Orthanc, DCMTK's storescp."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.scp import serving
from tests.servers import accepts, free_port, require, wait_for

Receiver = Callable[[Path], AbstractContextManager[tuple[int, str]]]


@contextmanager
def _process(command: list[str], folder: Path, port: int) -> Iterator[None]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, stdin=subprocess.PIPE, env={"TCP_NODELAY": "1", "PYTHONPATH": sys.path[0]}
        )
        try:
            wait_for(lambda: accepts(port), f"{command[0]} listening", 60)
            yield
        finally:
            process.terminate()
            process.communicate(timeout=60)


@contextmanager
def ours(folder: Path) -> Iterator[tuple[int, str]]:
    """The DIMSE edge with archive and SQLite catalog; gives port and AE title."""
    port = free_port()
    root = str(Path(__file__).parents[2])
    code = f"import sys; sys.path.insert(0, {root!r}); from tests.benchmarks.receivers import serve; serve()"
    with _process([sys.executable, "-c", code, str(folder / "data"), str(port)], folder, port):
        yield port, "DICOMNODE"


def serve() -> None:
    """Serve until killed: the child of `ours`."""
    with serving(Path(sys.argv[1]), {"port": int(sys.argv[2])}):
        sys.stdin.read()


@contextmanager
def orthanc(folder: Path) -> Iterator[tuple[int, str]]:
    """Orthanc with SyncStorageArea."""
    port = free_port()
    config = folder / "orthanc.json"
    options = {
        "Name": "bench",
        "StorageDirectory": str(folder / "data"),
        "IndexDirectory": str(folder / "data"),
        "HttpServerEnabled": False,
        "DicomPort": port,
        "DicomAet": "ORTHANC",
        "DicomAlwaysAllowFind": True,
        "DicomCheckCalledAet": False,
        "SyncStorageArea": True,
        "OverwriteInstances": False,
    }
    config.write_text(json.dumps(options))
    with _process([require("Orthanc"), str(config)], folder, port):
        yield port, "ORTHANC"


@contextmanager
def storescp(folder: Path) -> Iterator[tuple[int, str]]:
    """DCMTK's storescp, a process for each association; it promises nothing."""
    port = free_port()
    (folder / "data").mkdir()
    with _process([require("storescp"), "--fork", "-od", str(folder / "data"), "-uf", str(port)], folder, port):
        yield port, "STORESCP"


RECEIVERS: dict[str, Receiver] = {"ours": ours, "orthanc": orthanc, "storescp": storescp}
