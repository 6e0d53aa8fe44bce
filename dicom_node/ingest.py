"""Use case: keep one received instance, durably, once.

Called by the C-STORE handler and by the importer. The rule is the order of CHECKS A6: the file synced, renamed under a
key of our own, its folder synced, catalog and outbox committed; only then does `Receipt` exist, and only then may the
sender be told 0000. Folder syncs and the commit are shared by all instances that wait at the same time.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from dicom_node import metrics
from dicom_node.archive import Archive, Spool, StoredFile
from dicom_node.catalog.intake import Outcome, Received
from dicom_node.catalog.models import Queue
from dicom_node.catalog.repository import Catalog
from dicom_node.catalog.writer import GroupCommit
from dicom_node.errors import Rejected, SopClassMismatch, SopInstanceInvalid, Unavailable
from dicom_node.instance import Header, encode_file_meta, is_uid, read_header

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Claimed:
    """What the sender says of the instance before its data set: the command set's UIDs and the transfer syntax."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that an instance is durably kept."""

    sop_instance_uid: str
    study_instance_uid: str
    outcome: Outcome


class Ingest:
    """Keeps instances. One per process; safe for many threads."""

    def __init__(self, archive: Archive, catalog: Catalog, header_limit_bytes: int) -> None:
        """Keep bytes in `archive` and facts in `catalog`; parse at most `header_limit_bytes` of inflated header."""
        self._archive = archive
        self._catalog = catalog
        self._header_limit_bytes = header_limit_bytes
        self._committer: GroupCommit[Received, Outcome] = GroupCommit(self._commit)

    def close(self) -> None:
        """Commit what is waiting, then refuse more."""
        self._committer.close()

    def open(self, claimed: Claimed) -> Spool:
        """Start receiving: a spool for the encoded data set. Raises Rejected for impossible UIDs, Unavailable."""
        for name, uid in (
            ("Affected SOP Class UID", claimed.sop_class_uid),
            ("Transfer Syntax UID", claimed.transfer_syntax_uid),
        ):
            if not is_uid(uid):
                raise Rejected(f"{name} is not a UID")
        if not is_uid(claimed.sop_instance_uid):
            raise SopInstanceInvalid("Affected SOP Instance UID is not a UID")
        return self._archive.spool(encode_file_meta(**_meta(claimed)))

    def keep(self, spool: Spool, claimed: Claimed, queue: Queue = Queue.ROUTINE) -> Receipt:
        """Keep what was spooled, durably. Raises Rejected (not understood) or Unavailable; then nothing stays."""
        started = time.monotonic()
        header = read_header(spool.path, spool.data_set_offset, claimed.transfer_syntax_uid, self._header_limit_bytes)
        _check_same(header, claimed)
        file = spool.keep()
        outcome = self._record(Received(header, file, claimed.calling_ae_title, time.time(), queue))
        metrics.INSTANCES_RECEIVED.labels(outcome.value).inc()
        metrics.STORE_SECONDS.observe(time.monotonic() - started)
        return Receipt(header.instance["sop_instance_uid"], header.study["study_instance_uid"], outcome)

    def _record(self, received: Received) -> Outcome:
        try:
            outcome = self._committer.submit(received)
        except Exception:
            self._undo(received.file)
            raise
        if outcome is Outcome.DUPLICATE:
            self._archive.delete(received.file.key)
        if outcome is Outcome.OTHER_VERSION:
            logger.warning(
                "kept other bytes under the SOP Instance UID of a kept instance",
                extra={"sop_instance_uid": received.header.instance["sop_instance_uid"]},
            )
        return outcome

    def _undo(self, file: StoredFile) -> None:
        """Remove a file whose commit failed, unless the commit took place after all or nobody can tell."""
        try:
            if not self._catalog.known_files([file.key]):
                self._archive.delete(file.key)
        except Unavailable:
            logger.warning("left a file that the catalog may not know", extra={"file_key": file.key})

    def _commit(self, batch: Sequence[Received]) -> Sequence[Outcome]:
        self._archive.sync_folders(item.file.key for item in batch)
        return self._catalog.record(batch)


def _meta(claimed: Claimed) -> dict[str, str]:
    return {
        "sop_class_uid": claimed.sop_class_uid,
        "sop_instance_uid": claimed.sop_instance_uid,
        "transfer_syntax_uid": claimed.transfer_syntax_uid,
        "calling": claimed.calling_ae_title,
    }


def _check_same(header: Header, claimed: Claimed) -> None:
    """PS3.7 9.1.1: the command names the instance that the data set holds."""
    if header.instance["sop_instance_uid"] != claimed.sop_instance_uid:
        raise Rejected("the data set holds another SOP Instance UID than the command")
    if header.instance["sop_class_uid"] != claimed.sop_class_uid:
        raise SopClassMismatch("the data set holds another SOP Class UID than the command")
