"""Use case: import what lies on disks into the archive and the catalog, as if it had been received.

Called by `dicom-node import`, beside a running node or without one. Files are kept on several threads, so that they
share syncs and commits. The rule: whatever a run is interrupted by, running it again completes it; what is known
already is passed over by the journal without being read, or else recognised by its bytes.
"""

import lzma
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from typing import BinaryIO

from dicom_node.catalog.models import Queue
from dicom_node.catalog.repository import Catalog
from dicom_node.errors import Rejected, Unavailable
from dicom_node.import_journal import Journal
from dicom_node.import_sources import Candidate, Refusal, reason_of
from dicom_node.ingest import Claimed, Ingest, Receipt
from dicom_node.part10 import NotAnInstance, read_contents

THREADS = 8
WAITING = 64
CHUNK = 1 << 20
DAMAGED_MEMBER = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError)


class Result(StrEnum):
    """What became of a file: the first three are outcomes of ingest, `known` was found in the journal."""

    NEW = "new"
    DUPLICATE = "duplicate"
    OTHER_VERSION = "other_version"
    KNOWN = "known"
    NOT_DICOM = "not_dicom"
    REFUSED = "refused"


@dataclass(slots=True)
class Report:
    """What an import did: files by result, bytes read of those kept, refusals, and why it stopped early if it did."""

    counts: dict[Result, int] = field(default_factory=lambda: dict.fromkeys(Result, 0))
    bytes_kept: int = 0
    refused: list[Refusal] = field(default_factory=list)
    stopped: str = ""

    @property
    def files(self) -> int:
        """How many files were looked at."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class _Done:
    candidate: Candidate | Refusal
    result: Result
    sop_instance_uid: str = ""
    reason: str = ""


class Importer:
    """Imports files through `ingest`; one at a time per journal."""

    def __init__(self, ingest: Ingest, catalog: Catalog, journal: Journal, queue: Queue = Queue.BACKFILL) -> None:
        """Keep through `ingest`, to be embedded through `queue`; pass over what `journal` and `catalog` know."""
        self._ingest = ingest
        self._catalog = catalog
        self._journal = journal
        self._queue = queue

    def run(self, found: Iterable[Candidate | Refusal], progress: Callable[[Report], None]) -> Report:
        """Import what was `found`, calling `progress` after each; an Unavailable ends it early, said in the report."""
        report = Report()
        with ThreadPoolExecutor(THREADS, "import") as pool:
            try:
                for done in self._each(pool, found):
                    self._note(report, done)
                    progress(report)
            except Unavailable as error:
                report.stopped = str(error)
                pool.shutdown(cancel_futures=True)
        return report

    def _each(self, pool: ThreadPoolExecutor, found: Iterable[Candidate | Refusal]) -> Iterator[_Done]:
        """Import with a bounded number of files in hand; results come in the order of the files."""
        waiting: deque[Future[_Done]] = deque()
        for candidate in found:
            if len(waiting) >= WAITING:
                yield waiting.popleft().result()
            known_as = self._journal.lookup(candidate) if isinstance(candidate, Candidate) else None
            waiting.append(pool.submit(self._import, candidate, known_as))
        while waiting:
            yield waiting.popleft().result()

    def _import(self, candidate: Candidate | Refusal, known_as: str | None) -> _Done:
        if isinstance(candidate, Refusal):
            return _Done(candidate, Result.REFUSED, reason=candidate.reason)
        if known_as and self._catalog.instances("sop_instance_uid", known_as):
            return _Done(candidate, Result.KNOWN)
        try:
            with candidate.open() as file:
                receipt = self._keep(file)
        except NotAnInstance:
            return _Done(candidate, Result.NOT_DICOM)
        except (Rejected, OSError) as error:
            return _Done(candidate, Result.REFUSED, reason=reason_of(error))
        except DAMAGED_MEMBER:
            return _Done(candidate, Result.REFUSED, reason="a damaged member of a zip archive")
        return _Done(candidate, Result(receipt.outcome.value), receipt.sop_instance_uid)

    def _keep(self, file: BinaryIO) -> Receipt:
        contents = read_contents(file)
        claimed = Claimed(contents.sop_class_uid, contents.sop_instance_uid, contents.transfer_syntax_uid)
        with self._ingest.open(claimed) as spool:
            file.seek(contents.data_set_offset)
            while piece := file.read(CHUNK):
                spool.write(piece)
            return self._ingest.keep(spool, claimed, self._queue)

    def _note(self, report: Report, done: _Done) -> None:
        report.counts[done.result] += 1
        if done.result is Result.REFUSED:
            report.refused.append(Refusal(done.candidate.name, done.reason))
        elif done.sop_instance_uid and isinstance(done.candidate, Candidate):
            report.bytes_kept += done.candidate.size_bytes
            self._journal.add(done.candidate, done.sop_instance_uid)
