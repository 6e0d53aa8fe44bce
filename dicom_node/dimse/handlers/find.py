"""C-FIND: from an encoded Identifier to pending responses and one final status.

Called by the association with the door that the called AE title opens. The rule: C-CANCEL is looked at before every
row, and every failure becomes a status.
"""

import logging
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

from pydicom import Dataset

from dicom_node import metrics
from dicom_node.dimse import status
from dicom_node.dimse.encoding import decode
from dicom_node.dimse.presentation import FIND_MODELS
from dicom_node.dimse.status import Status
from dicom_node.doors import Door, Doors
from dicom_node.identifier import build, parse
from dicom_node.settings import DicomSettings

logger = logging.getLogger(__name__)

Response = tuple[Status, Dataset | None]


@dataclass(frozen=True, slots=True)
class FindRequest:
    """A C-FIND request: its encoded Identifier, where it was sent, and a way to learn of C-CANCEL."""

    sop_class_uid: str
    transfer_syntax_uid: str
    identifier: bytes
    called_ae_title: str
    is_cancelled: Callable[[], bool]


@dataclass(slots=True)
class _Course:
    """How far an answer has come, for the metrics."""

    service: str
    level: str = "none"
    started: float = field(default_factory=time.monotonic)


class FindHandler:
    """Answers C-FIND requests. One per server; safe for many threads."""

    def __init__(self, doors: Doors, settings: DicomSettings) -> None:
        """Answer from `doors`."""
        self._doors = doors
        self._retrieve_ae_title = settings.ae_title

    def answer(self, request: FindRequest, door: Door) -> Iterator[Response]:
        """Return pending responses with their Identifiers, then the final status."""
        course = _Course("similar" if door is Door.SIMILAR else "find")
        final = status.CANCELLED
        try:
            final = yield from self._pending(request, door, course)
        except Exception as error:  # noqa: BLE001 - each becomes a status
            logger.warning("a query failed: %s", status.describe(error))
            final = status.of_find(error)
        finally:
            metrics.QUERIES.labels(course.service, course.level, f"{final.code:04X}").inc()
            metrics.QUERY_SECONDS.labels(course.service).observe(time.monotonic() - course.started)
        yield final, None

    def _pending(self, request: FindRequest, door: Door, course: _Course) -> Generator[Response, None, Status]:
        identifier = decode(request.identifier, request.transfer_syntax_uid)
        query = parse(identifier, FIND_MODELS[request.sop_class_uid])
        course.level = query.level.name
        answer = self._doors.find(query, door)
        course.service = answer.service
        pending = status.PENDING_WITHOUT_OPTIONAL_KEYS if query.ignored else status.PENDING
        for found in answer.rows:
            if request.is_cancelled():
                return status.CANCELLED
            yield pending, build(query, found.row, found.similarity, self._retrieve_ae_title)
        return status.SUCCESS
