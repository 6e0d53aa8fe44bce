"""C-MOVE and C-GET alike: an Identifier, sub-operations with counts, one final status. Used by their handlers.

The rule (PS3.4 C.4.2.3.1): a pending response after every sub-operation but the last, C-CANCEL looked at before every
one, and every failure becomes a status. What ended is logged in one line, without patient data.
"""

import logging
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from pydicom import Dataset

from dicom_node import metrics
from dicom_node.catalog.retrieval import Selection
from dicom_node.dimse import status
from dicom_node.dimse.encoding import decode
from dicom_node.dimse.status import Status
from dicom_node.identifier import Model
from dicom_node.retrieve import Destination, Progress, Retrieval
from dicom_node.retrieve_keys import parse

logger = logging.getLogger(__name__)

MAXIMUM_COUNT = 0xFFFF


@dataclass(frozen=True, slots=True)
class RetrieveRequest:
    """A C-MOVE or C-GET request: its encoded Identifier, who sent it where, and a way to learn that it is cancelled."""

    service: str
    sop_class_uid: str
    transfer_syntax_uid: str
    identifier: bytes
    message_id: int
    calling_ae_title: str
    called_ae_title: str
    is_cancelled: Callable[[], bool]
    move_destination: str = ""


@dataclass(frozen=True, slots=True)
class RetrieveResponse:
    """A response: its status, the counts by keyword of the command set, and the failed UIDs where there are any."""

    status: Status
    counts: Mapping[str, int] = field(default_factory=dict)
    identifier: Dataset | None = None


@dataclass(slots=True)
class _Course:
    level: str = "none"
    progress: Progress | None = None


def perform(
    retrieval: Retrieval,
    request: RetrieveRequest,
    model: Model,
    destination_of: Callable[[Selection], AbstractContextManager[Destination]],
) -> Iterator[RetrieveResponse]:
    """Send what a request asks for to a destination; return pending responses, then the final one."""
    course = _Course()
    final = status.CANCELLED
    try:
        final = yield from _pending(retrieval, request, model, destination_of, course)
    except Exception as error:  # noqa: BLE001 - each becomes a status
        logger.warning("a retrieve failed: %s", status.describe(error))
        final = status.of_retrieve(error, begun=course.progress is not None)
    finally:
        _account(request, course, final)
    yield _final(final, course.progress)


def _pending(
    retrieval: Retrieval,
    request: RetrieveRequest,
    model: Model,
    destination_of: Callable[[Selection], AbstractContextManager[Destination]],
    course: _Course,
) -> Generator[RetrieveResponse, None, Status]:
    query = parse(decode(request.identifier, request.transfer_syntax_uid), model)
    course.level = query.level.name
    selection = retrieval.select(query)
    course.progress = Progress(selection.count)
    with destination_of(selection) as destination:
        for course.progress in retrieval.send(selection, destination, request.is_cancelled):
            if course.progress.remaining:
                yield RetrieveResponse(status.PENDING, _counts(course.progress, with_remaining=True))
    progress = course.progress
    return status.of_suboperations(progress.remaining, progress.completed, progress.failed, progress.warning)


def _final(final: Status, progress: Progress | None) -> RetrieveResponse:
    if progress is None:
        return RetrieveResponse(final)
    identifier = None
    if progress.failed_uids:
        identifier = Dataset()
        identifier.FailedSOPInstanceUIDList = progress.failed_uids
    # PS3.7 9.1.4.1.7: what remains is told only while something does.
    return RetrieveResponse(final, _counts(progress, final is status.CANCELLED), identifier)


def _counts(progress: Progress, with_remaining: bool) -> dict[str, int]:
    counts = {
        "NumberOfRemainingSuboperations": progress.remaining,
        "NumberOfCompletedSuboperations": progress.completed,
        "NumberOfFailedSuboperations": progress.failed,
        "NumberOfWarningSuboperations": progress.warning,
    }
    if not with_remaining:
        del counts["NumberOfRemainingSuboperations"]
    return {keyword: min(count, MAXIMUM_COUNT) for keyword, count in counts.items()}


def _account(request: RetrieveRequest, course: _Course, final: Status) -> None:
    metrics.RETRIEVALS.labels(request.service, course.level, f"{final.code:04X}").inc()
    progress = course.progress or Progress(0)
    logger.info(
        "a retrieve has ended",
        extra={
            "service": request.service,
            "level": course.level,
            "calling": request.calling_ae_title,
            "called": request.called_ae_title,
            "destination": request.move_destination,
            "status": f"{final.code:04X}",
            **_counts(progress, with_remaining=True),
        },
    )
