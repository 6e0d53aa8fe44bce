"""Use case: send what is kept to whoever asked for it, or to whom they named. C-MOVE and C-GET are its doors.

A sub-operation sends one instance to a `Destination`, which is the services' to make. The rule: bytes go out as they
came in where the destination takes their transfer syntax, and only after they were found to be those that came in.
"""

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from dicom_node import metrics
from dicom_node.archive import Archive
from dicom_node.attributes import UNIQUE_KEY, QueryLevel
from dicom_node.catalog.repository import Catalog
from dicom_node.catalog.retrieval import KeptInstance, Selection, select_instances, selected_instances
from dicom_node.converter import TARGETS, Converter
from dicom_node.errors import Corrupt, Rejected, Unavailable
from dicom_node.identifier import Query

logger = logging.getLogger(__name__)

# 64,000 characters: the most that an explicit VR's length field can tell of. The counts are always of all.
MAXIMUM_FAILED_UIDS = 1000


class Outcome(StrEnum):
    """What became of one sub-operation. All but the first two are failures."""

    COMPLETED = "completed"
    WARNING = "warning"
    REFUSED = "refused"  # the destination answered with a failure
    NOT_ACCEPTED = "not_accepted"  # it takes no transfer syntax that we can send it in
    DAMAGED = "damaged"  # the archive's bytes are not those that were received
    UNAVAILABLE = "unavailable"  # no association with it, or no answer


for _outcome in Outcome:
    metrics.SUBOPERATIONS.labels(_outcome.value)


@dataclass(frozen=True, slots=True)
class Sendable:
    """A Part 10 file whose data set, from `data_set_offset` to the end, is encoded in a transfer syntax."""

    path: Path
    data_set_offset: int
    transfer_syntax_uid: str


class Destination(Protocol):
    """Who takes the instances."""

    def transfer_syntaxes(self, instance: KeptInstance) -> Collection[str]:
        """Return those in which it takes the instance's SOP class. Raises Unavailable."""

    def store(self, instance: KeptInstance, sendable: Sendable) -> int:
        """Send an instance and return the C-STORE status. Raises Unavailable when no answer comes, Corrupt."""


@dataclass(slots=True)
class Progress:
    """The counts of sub-operations (PS3.7 9.1.4.1.7 to .10), and the first of the SOP Instance UIDs that failed."""

    remaining: int
    completed: int = 0
    failed: int = 0
    warning: int = 0
    failed_uids: list[str] = field(default_factory=list)

    def count(self, instance: KeptInstance, outcome: Outcome) -> None:
        """Count one sub-operation that has ended."""
        self.remaining -= 1
        if outcome is Outcome.COMPLETED:
            self.completed += 1
        elif outcome is Outcome.WARNING:
            self.warning += 1
        else:
            self.failed += 1
            if len(self.failed_uids) < MAXIMUM_FAILED_UIDS:
                self.failed_uids.append(instance.sop_instance_uid)


class Retrieval:
    """Finds and sends instances. One per process; safe for many threads."""

    def __init__(self, catalog: Catalog, archive: Archive, converter: Converter) -> None:
        """Find in `catalog`, send from `archive`; `converter` serves destinations that do not take the originals."""
        self._catalog = catalog
        self._archive = archive
        self._converter = converter

    def select(self, query: Query) -> Selection:
        """Count what the unique keys of a query mean. Raises Unavailable."""
        at_level = UNIQUE_KEY[query.level]
        listed = {
            keyword: tuple(value.split("\\")) if keyword == at_level and query.level > QueryLevel.PATIENT else (value,)
            for keyword, value in query.keys.items()
        }
        return select_instances(self._catalog, listed)

    def send(
        self, selection: Selection, destination: Destination, is_cancelled: Callable[[], bool]
    ) -> Iterator[Progress]:
        """Send one instance after the other; yield the counts, the same object each time, after each.

        Ends early when cancelled: then some remain. Raises Unavailable when the catalog is away.
        """
        progress = Progress(selection.count)
        for instance in selected_instances(self._catalog, selection):
            if is_cancelled():
                return
            outcome = self._send_one(instance, destination)
            metrics.SUBOPERATIONS.labels(outcome.value).inc()
            progress.count(instance, outcome)
            yield progress

    def _send_one(self, instance: KeptInstance, destination: Destination) -> Outcome:
        try:
            accepted = destination.transfer_syntaxes(instance)
            with self._sendable(instance, accepted) as sendable:
                return outcome_of(destination.store(instance, sendable))
        except Corrupt as error:
            logger.error("%s", error, extra={"sop_instance_uid": instance.sop_instance_uid})
            return Outcome.DAMAGED
        except Rejected as error:
            logger.info("not sent: %s", error, extra={"sop_instance_uid": instance.sop_instance_uid})
            return Outcome.NOT_ACCEPTED
        except Unavailable as error:
            logger.info("not sent: %s", error, extra={"sop_instance_uid": instance.sop_instance_uid})
            return Outcome.UNAVAILABLE

    @contextmanager
    def _sendable(self, instance: KeptInstance, accepted: Collection[str]) -> Iterator[Sendable]:
        """Give the original where it is accepted, else a conversion that lives as long as it is needed."""
        original = Sendable(
            self._archive.path(instance.file_key),
            self._archive.verified_offset(instance.file_key, instance.sha256),
            instance.transfer_syntax_uid,
        )
        if instance.transfer_syntax_uid in accepted:
            yield original
            return
        target = next((uid for uid in TARGETS if uid in accepted), None)
        if target is None:
            raise Rejected("the destination takes the SOP class in no transfer syntax of ours")
        with self._converter.converted(instance, original.path, original.data_set_offset, target) as (path, offset):
            yield Sendable(path, offset, target)


def outcome_of(status: int) -> Outcome:
    """Tell what a C-STORE status means for the sub-operation (PS3.7 annex C: 0000, 0001, 0107, 0116, Bxxx)."""
    if status == 0:
        return Outcome.COMPLETED
    return Outcome.WARNING if status in (0x0001, 0x0107, 0x0116) or status >> 12 == 0xB else Outcome.REFUSED
