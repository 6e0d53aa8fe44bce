"""C-STORE: a data set on its way into the archive, and the status it ends with.

Made by the message layer when the command set is complete. The rule: pieces are taken to the end whatever has gone
wrong, so that the sender gets a status for this object and can go on with the next one.
"""

import logging

from dicom_node import metrics
from dicom_node.archive import Spool
from dicom_node.dimse import status
from dicom_node.dimse.status import Status
from dicom_node.errors import Rejected, SopClassMismatch
from dicom_node.ingest import Claimed, Ingest

logger = logging.getLogger(__name__)


class Reception:
    """One instance being received: `write` the pieces, then `finish` or `discard`."""

    def __init__(self, ingest: Ingest, claimed: Claimed, abstract_syntax: str) -> None:
        """Begin. What is wrong with the command is kept for the status."""
        self._ingest = ingest
        self._claimed = claimed
        self._spool: Spool | None = None
        self._failure: Exception | None = None
        self._empty = True
        try:
            if claimed.sop_class_uid != abstract_syntax:
                raise SopClassMismatch("the SOP class is not that of the presentation context")
            self._spool = ingest.open(claimed)
        except Exception as error:  # noqa: BLE001 - each becomes a status
            self._fail(error)

    def write(self, piece: bytes | memoryview) -> None:
        """Take the next piece of the encoded data set; after a failure it is swallowed."""
        self._empty = self._empty and not piece
        if self._spool is None or self._failure is not None:
            return
        try:
            self._spool.write(piece)
        except Exception as error:  # noqa: BLE001 - each becomes a status
            self._fail(error)

    def finish(self) -> Status:
        """Keep what was received, durably, and return the status for the sender."""
        try:
            answer = self._keep()
        except Exception as error:  # noqa: BLE001 - each becomes a status
            self._fail(error)
            answer = status.of_store(error)
        finally:
            self.discard()
        if status.is_failure(answer):
            metrics.STORES_REFUSED.labels(f"{answer.code:04X}").inc()
        return answer

    def discard(self) -> None:
        """Leave nothing behind, unless it has been kept."""
        if self._spool is not None:
            with self._spool:
                self._spool = None

    def _keep(self) -> Status:
        if self._failure is not None or self._spool is None:
            return status.of_store(self._failure or Rejected("nothing was received"))
        if self._empty:
            raise Rejected("the request has no data set")
        self._ingest.keep(self._spool, self._claimed)
        return status.SUCCESS

    def _fail(self, error: Exception) -> None:
        self._failure = error
        logger.warning("an instance was not stored: %s", status.describe(error))
        self.discard()
