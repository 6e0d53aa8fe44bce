"""Conversions for destinations that do not take an instance as it was stored, made by a limited child process.

Called by `retrieve`. One child serves the whole node, one conversion at a time, so that what conversions take is
bounded however many destinations need them. The rule: what the child cannot do within its limits is Rejected, and the
next conversion gets a new child.
"""

import json
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_node.archive import Archive
from dicom_node.catalog.retrieval import KeptInstance
from dicom_node.errors import Rejected
from dicom_node.instance import encode_file_meta
from dicom_node.settings import RetrieveSettings

# What can be converted to, in the order in which it is preferred.
TARGETS = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))


class Converter:
    """Converts data sets. Safe for many threads, which take turns."""

    def __init__(self, archive: Archive, settings: RetrieveSettings) -> None:
        """Keep conversions in `archive`'s folder of unfinished files while they are needed."""
        self._archive = archive
        self._timeout_s = settings.conversion_timeout_s
        self._orders = json.dumps({"memory_bytes": settings.conversion_memory_bytes, "time_s": self._timeout_s})
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._end_child()

    @contextmanager
    def converted(
        self, instance: KeptInstance, source: Path, data_set_offset: int, transfer_syntax_uid: str
    ) -> Iterator[tuple[Path, int]]:
        """Give a Part 10 file with an instance's data set in another transfer syntax, and where the data set starts.

        Raises Rejected, or Unavailable when the disk does not take it. The file is gone afterwards.
        """
        meta = encode_file_meta(instance.sop_class_uid, instance.sop_instance_uid, transfer_syntax_uid)
        with self._archive.spool(meta) as spool:
            job = {
                "source": str(source.absolute()),
                "data_set_offset": data_set_offset,
                "from": instance.transfer_syntax_uid,
                "to": transfer_syntax_uid,
                "target": str(spool.path.absolute()),
            }
            with self._lock:
                answer = self._ask(job)
            if "rejected" in answer:
                raise Rejected(answer["rejected"])
            yield spool.path, spool.data_set_offset

    def _ask(self, job: dict[str, Any]) -> dict[str, str]:
        if self._child is not None and self._child.poll() is not None:
            self._end_child()
        child = self._child = self._child or self._start_child()
        try:
            stdin = cast("IO[bytes]", child.stdin)
            stdin.write(json.dumps(job).encode() + b"\n")
            stdin.flush()
            answer = self._answer(cast("IO[bytes]", child.stdout))
        except OSError:
            answer = b""
        if not answer:
            self._end_child()
            raise Rejected("the data set cannot be converted within the limits")
        return cast("dict[str, str]", json.loads(answer))

    def _answer(self, stdout: IO[bytes]) -> bytes:
        """Return the child's line; nothing when it died, or is late."""
        poller = select.poll()
        poller.register(stdout, select.POLLIN)
        return stdout.readline() if poller.poll(self._timeout_s * 1000) else b""

    def _start_child(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "dicom_node.conversion", self._orders],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def _end_child(self) -> None:
        if self._child is not None:
            with self._child as child:
                child.kill()
            self._child = None
