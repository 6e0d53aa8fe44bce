"""`make demo`: sends a few real studies (pydicom's own test files) to a node, waits until they are searchable, and
shows which of them look like one another.

Uses the node that runs on the default ports; where there is none, it starts one on a temporary folder and ends it.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydicom.data import get_testdata_file
from rich.console import Console
from rich.table import Table

from dicom_node.dimse import scu

EXAMPLES = ("CT_small.dcm", "693_J2KI.dcm", "MR_small.dcm", "examples_overlay.dcm", "examples_rgb_color.dcm")
FOLDERS = ("77654033", "98892001", "98892003")
READY_S = 120
console = Console()


def files() -> list[Path]:
    """List the files to send: single instances, and the studies of two patients."""
    bundled = Path(str(get_testdata_file("DICOMDIR"))).parent
    paths = [Path(str(get_testdata_file(name))) for name in EXAMPLES]
    return paths + [path for name in FOLDERS for path in sorted((bundled / name).rglob("*")) if path.is_file()]


def get(url: str) -> Any:
    """Return the JSON of a GET."""
    with urllib.request.urlopen(url, timeout=30) as response:  # noqa: S310 - our own address
        return json.loads(response.read())


def ready(url: str) -> bool:
    """Whether a node is ready there."""
    try:
        return bool(get(f"{url}/readyz"))
    except OSError:
        return False


@contextlib.contextmanager
def node(dicom_port: int, http_port: int) -> Iterator[str]:
    """Give the URL of a ready node, one that runs or one of our own."""
    url = f"http://127.0.0.1:{http_port}"
    if ready(url):
        console.print(f"using the node at {url}")
        yield url
        return
    with tempfile.TemporaryDirectory(prefix="dicom-node-demo-") as folder:
        console.print("starting a node on a temporary folder …")
        command = [sys.executable, "-m", "dicom_node", "up", "--data", folder]
        ports = ["--dicom-port", str(dicom_port), "--http-port", str(http_port)]
        log = Path(folder) / "log"
        with log.open("wb") as file:
            process = subprocess.Popen([*command, *ports], stdout=file, stderr=file)  # noqa: S603 - our own command
        try:
            deadline = time.monotonic() + READY_S
            while not ready(url):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"the node did not start:\n{log.read_text()[-2000:]}")
                time.sleep(0.2)
            yield url
        finally:
            process.terminate()
            process.wait()


def send(dicom_port: int) -> None:
    """Store the files, as a scanner would."""
    peer = scu.Peer("127.0.0.1", dicom_port, called="DICOMNODE", calling="DEMO")
    started = time.monotonic()
    sent = list(scu.store(peer, files()))
    stored = sum(one.stored for one in sent)
    console.print(f"stored {stored} of {len(sent)} instances in {time.monotonic() - started:.1f} s")


def wait_until_searchable(url: str) -> None:
    """Wait until nothing is pending, and say what became of the instances."""
    started = time.monotonic()
    with console.status("embedding …"):
        while (counts := get(f"{url}/api/status")["instances"])["pending"]:
            time.sleep(0.2)
    ends = ", ".join(f"{counts[state]} {state}" for state in ("embedded", "rejected", "failed"))
    console.print(f"searchable after {time.monotonic() - started:.1f} s: {ends}")


def show(url: str, study_instance_uid: str) -> None:
    """Print the studies most like one, best first."""
    answer = get(f"{url}/api/studies/{study_instance_uid}/similar?k=8&same_patient=INCLUDE")
    table = Table(title="Which studies look like this one?")
    for heading in ("rank", "score", "modality", "description", "date", "Study Instance UID"):
        table.add_column(heading, overflow="fold")
    rows = [(0, 1.0, answer["example"]), *((row["rank"], row["score"], row) for row in answer["matches"])]
    for rank, score, study in rows:
        table.add_row(
            "example" if rank == 0 else str(rank),
            f"{score:.3f}",
            "/".join(study["modalities"]),
            study["study_description"],
            study["study_date"],
            study["study_instance_uid"],
        )
    console.print(table)


def main() -> None:
    """Run the demonstration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dicom-port", type=int, default=11112)
    parser.add_argument("--http-port", type=int, default=8080)
    arguments = parser.parse_args()
    with node(arguments.dicom_port, arguments.http_port) as url:
        send(arguments.dicom_port)
        wait_until_searchable(url)
        # The head CT of "Doe^Archibald".
        show(url, "1.3.6.1.4.1.5962.1.1.0.0.0.1196530851.28319.0.1")


if __name__ == "__main__":
    main()
