"""DCMTK's tools as tests use them. (A virtual environment with pynetdicom has tools of the same names: not those.)"""

import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info

from tests.servers import accepts, free_port, require, wait_for

# What storescu must be told to propose a transfer syntax; those it does not know are not in the table.
PROPOSE = {
    "1.2.840.10008.1.2": "-x=",
    "1.2.840.10008.1.2.1": "-x=",
    "1.2.840.10008.1.2.2": "-xb",
    "1.2.840.10008.1.2.1.99": "-xd",
    "1.2.840.10008.1.2.5": "-xr",
    "1.2.840.10008.1.2.4.50": "-xy",
    "1.2.840.10008.1.2.4.51": "-xx",
    "1.2.840.10008.1.2.4.70": "-xs",
    "1.2.840.10008.1.2.4.80": "-xt",
    "1.2.840.10008.1.2.4.81": "-xu",
    "1.2.840.10008.1.2.4.90": "-xv",
    "1.2.840.10008.1.2.4.91": "-xw",
    "1.2.840.10008.1.2.4.100": "-xm",
    "1.2.840.10008.1.2.4.102": "-xn",
}
ENVIRONMENT = {"TCP_NODELAY": "1", "PATH": "/usr/bin:/bin", "DCMDICTPATH": "/usr/share/libdcmtk17/dicom.dic"}
STORED = re.compile(r"Received Store Response \((.+?)\)")


class Retrieved:
    """What `movescu` or `getscu` had to say."""

    def __init__(self, output: str) -> None:
        self.output = output

    @property
    def status(self) -> str:
        """The text of the final status."""
        (text,) = re.findall(r"(?:Received Final Move Response|Received C-GET Response) \((.+?)\)", self.output)[-1:]
        return str(text)


def dcmtk(tool: str, *arguments: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
    """Run a tool to its end; with TCP_NODELAY, without which a message takes 40 ms."""
    return subprocess.run(
        [require(tool), *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s,
        env=ENVIRONMENT,
    )


def storescu(port: int, paths: Sequence[Path], called: str = "DICOMNODE", calling: str = "SCANNER") -> list[str]:
    """Send files, each in its own transfer syntax; return the text of each response status, in order."""
    statuses: list[str] = []
    for option, group in groupby(sorted(paths, key=_propose), key=_propose):
        for some in _some(list(group)):
            result = dcmtk(
                "storescu", "-v", "-nh", "-R", option, "-aec", called, "-aet", calling,
                "127.0.0.1", str(port), *map(str, some),
            )  # fmt: skip
            statuses += STORED.findall(result.stdout + result.stderr)
    return statuses


def findscu(port: int, keys: Iterable[str], called: str = "DICOMNODE", model: str = "-S") -> list[Dataset]:
    """Query; return the identifiers of the pending responses, in order. Fails when the final status is no success."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [text for key in keys for text in ("-k", key)]
        result = dcmtk(
            "findscu", "-v", model, "-X", "-od", folder, "-aec", called, "-aet", "WORKSTATION", *arguments,
            "127.0.0.1", str(port),
        )  # fmt: skip
        output = result.stdout + result.stderr
        assert result.returncode == 0, output
        assert "Received Final Find Response (Success)" in output, output
        return [dcmread(path) for path in sorted(Path(folder).glob("rsp*.dcm"))]


@contextmanager
def storescp(folder: Path, *options: str) -> Iterator[int]:
    """Run a storage SCP that writes what it receives into `folder`, bit by bit; give its port."""
    port = free_port()
    command = [require("storescp"), "+B", "-od", str(folder), *options, str(port)]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: accepts(port), "storescp listening")
            yield port
        finally:
            process.terminate()


def retrieve(tool: str, port: int, keys: Iterable[str], *options: str, called: str = "DICOMNODE") -> Retrieved:
    """Ask with `movescu` or `getscu`; return how it ended."""
    arguments = [text for key in keys for text in ("-k", key)]
    result = dcmtk(tool, "-v", *options, "-aec", called, "-aet", "WORKSTATION", *arguments, "127.0.0.1", str(port))
    return Retrieved(result.stdout + result.stderr)


def _propose(path: Path) -> str:
    try:
        return PROPOSE.get(str(read_file_meta_info(path).get("TransferSyntaxUID", "")), "-x=")
    except InvalidDicomError:  # a bare data set, which the tools guess the syntax of
        return "-x="


def _some(paths: list[Path], size: int = 500) -> list[list[Path]]:
    return [paths[start : start + size] for start in range(0, len(paths), size)]
