"""The catalog as the use cases see it: what one may write, claim, count and look up.

Built once per process from a URL. Writing goes through one engine (on SQLite: BEGIN IMMEDIATE, one writer at a time),
reading through another that never waits for a writer. The rule: every method is one transaction and raises only the
node's errors.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from sqlalchemy import Connection, func, select, text

from dicom_node.catalog import intake, outbox
from dicom_node.catalog.database import open_engines, translated
from dicom_node.catalog.intake import INSTANCE, OTHER, OUTBOX, SERIES, STUDY
from dicom_node.catalog.models import EmbeddingState, Queue

KEYS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Counts:
    """How many of each the catalog holds. `stored` is the sum of the four states."""

    stored: int
    pending: int
    embedded: int
    rejected: int
    failed: int
    other_versions: int
    series: int
    studies: int
    oldest_pending_s: float | None
    stored_last_minute: int
    embedded_last_minute: int


@dataclass(frozen=True, slots=True)
class Settled:
    """An instance that ended rejected or failed, with the reason."""

    sop_instance_uid: str
    state: EmbeddingState
    reason: str
    received_at: float


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """A study's row by column name, with the modalities of its series, sorted."""

    columns: Mapping[str, str]
    modalities: tuple[str, ...]
    series_count: int
    instance_count: int

    @property
    def study_instance_uid(self) -> str:
        """The study's UID."""
        return self.columns["study_instance_uid"]


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """Where an instance belongs, where its bytes lie, and how far it is on its way into the index."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    file_key: str
    sha256: str
    embedding_state: EmbeddingState
    reason: str


class Catalog:
    """The catalog of one node. Safe for many threads; several processes may open the same database."""

    def __init__(self, url: str) -> None:
        """Open the database of an SQLAlchemy URL and bring its schema up to date. Raises Unavailable."""
        self._writing, self._reading = open_engines(url)

    def close(self) -> None:
        """Close the connections."""
        self._writing.dispose()
        self._reading.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Intake

    def record(self, batch: Sequence[intake.Received]) -> list[intake.Outcome]:
        """Write received instances and their outbox rows, durably, in one transaction; one outcome for each."""
        with self._write("record instances") as connection:
            return intake.record(connection, batch)

    def known_files(self, file_keys: Sequence[str]) -> set[str]:
        """Return those of `file_keys` that a kept instance, or another version of one, has."""
        found: set[str] = set()
        with self.read("look up files") as connection:
            for start in range(0, len(file_keys), KEYS_AT_ONCE):
                some = file_keys[start : start + KEYS_AT_ONCE]
                for table in (INSTANCE, OTHER):
                    found.update(
                        connection.execute(select(table.c.file_key).where(table.c.file_key.in_(some))).scalars()
                    )
        return found

    # The outbox

    def claim(self, queue: Queue, limit: int, lease_s: float) -> list[outbox.Announcement]:
        """Lease up to `limit` waiting or lost rows of a queue, the oldest first."""
        with self._write("claim from the outbox") as connection:
            return outbox.claim(connection, queue, limit, time.time(), lease_s)

    def release(self, uids: Sequence[str], delay_s: float, error: str, *, counts: bool) -> None:
        """Give instances that a worker began with back, claimable again after `delay_s`, with the reason.

        `counts` tells whether this was one of the tries after which an instance is given up.
        """
        with self._write("release to the outbox") as connection:
            outbox.release(connection, uids, time.time() + delay_s, error, counts)

    def unclaim(self, uids: Sequence[str]) -> None:
        """Undo a claim whose message could not be sent."""
        with self._write("release to the outbox") as connection:
            outbox.unclaim(connection, uids)

    def begin(self, uids: Sequence[str], lease_s: float) -> None:
        """Count a try of instances that a worker begins with, and lease them to it."""
        with self._write("begin a batch") as connection:
            outbox.begin(connection, uids, time.time() + lease_s)

    def renew(self, uids: Sequence[str], lease_s: float) -> None:
        """Extend the lease of instances that a worker has begun with."""
        with self._write("renew a lease") as connection:
            outbox.renew(connection, uids, time.time() + lease_s)

    def pending(self, uids: Sequence[str]) -> list[outbox.Pending]:
        """Return those of `uids` that are still to be embedded, with what a worker needs."""
        with self.read("read the outbox") as connection:
            return outbox.pending(connection, uids)

    def settle(self, embedded: Mapping[str, int], rejected: Mapping[str, str]) -> None:
        """Mark instances embedded (with their number of vectors) and rejected (with the reason), by UID."""
        with self._write("mark instances") as connection:
            outbox.mark_embedded(connection, embedded, time.time())
            outbox.mark_rejected(connection, rejected)

    def bury(self, maximum_attempts: int) -> int:
        """Make dead letters of what was tried that often in vain; return how many."""
        with self._write("bury dead letters") as connection:
            return outbox.bury(connection, maximum_attempts, time.time())

    def retry(self, states: Sequence[EmbeddingState], uids: Sequence[str] | None = None) -> int:
        """Put settled instances of these states (all, or those among `uids`) back into the outbox; return how many."""
        with self._write("retry instances") as connection:
            return outbox.retry(connection, uids, states, time.time())

    def hurry(self, study_instance_uid: str) -> int:
        """Move a study's pending instances to the front of the queue; return how many are pending."""
        with self._write("hurry a study") as connection:
            return outbox.hurry(connection, study_instance_uid)

    def waiting(self) -> dict[Queue, int]:
        """Count the outbox rows of each queue that nobody holds a lease on."""
        with self.read("count the outbox") as connection:
            rows = connection.execute(
                select(OUTBOX.c.queue, func.count())
                .where(OUTBOX.c.leased_until <= time.time())
                .group_by(OUTBOX.c.queue)
            )
            return {Queue(queue): count for queue, count in rows}

    # Reading

    def check(self) -> None:
        """Raise Unavailable unless the database answers."""
        with self.read("answer") as connection:
            connection.execute(text("SELECT 1"))

    def counts(self) -> Counts:
        """Count what is kept, by state."""
        with self.read("count") as connection:
            by_state: dict[str, int] = dict.fromkeys(EmbeddingState, 0)
            states = select(INSTANCE.c.embedding_state, func.count()).group_by(INSTANCE.c.embedding_state)
            by_state.update((state, count) for state, count in connection.execute(states))
            others, series, studies = (
                connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in (OTHER, SERIES, STUDY)
            )
            oldest = connection.execute(select(func.min(OUTBOX.c.enqueued_at))).scalar_one()
            now = time.time()
            recent = [
                connection.execute(select(func.count()).select_from(INSTANCE).where(column > now - 60)).scalar_one()
                for column in (INSTANCE.c.received_at, INSTANCE.c.embedded_at)
            ]
        return Counts(
            stored=sum(by_state.values()),
            **{state.value: by_state[state] for state in EmbeddingState},
            other_versions=others,
            series=series,
            studies=studies,
            oldest_pending_s=None if oldest is None else max(0.0, now - oldest),
            stored_last_minute=recent[0],
            embedded_last_minute=recent[1],
        )

    def settled(self, state: EmbeddingState, limit: int = 1000) -> list[Settled]:
        """List instances of a state, the latest received first."""
        columns = INSTANCE.c
        with self.read("list instances") as connection:
            rows = connection.execute(
                select(columns.sop_instance_uid, columns.embedding_state, columns.reason, columns.received_at)
                .where(columns.embedding_state == state.value)
                .order_by(columns.id.desc())
                .limit(limit)
            )
            return [Settled(uid, EmbeddingState(state), reason, at) for uid, state, reason, at in rows]

    def studies(self, uids: Sequence[str]) -> dict[str, StudyRecord]:
        """Return the studies among `uids`, by Study Instance UID."""
        with self.read("read studies") as connection:
            rows = connection.execute(select(STUDY).where(STUDY.c.study_instance_uid.in_(uids))).mappings().all()
            modalities = _modalities(connection, [row["id"] for row in rows])
        return {
            row["study_instance_uid"]: StudyRecord(
                columns={name: value for name, value in row.items() if isinstance(value, str)},
                modalities=modalities.get(row["id"], ()),
                series_count=row["series_count"],
                instance_count=row["instance_count"],
            )
            for row in rows
        }

    def studies_with_accession(self, accession_number: str) -> list[str]:
        """List the Study Instance UIDs that carry exactly this accession number, the newest study first."""
        with self.read("look up an accession number") as connection:
            return list(
                connection.execute(
                    select(STUDY.c.study_instance_uid)
                    .where(STUDY.c.accession_number == accession_number)
                    .order_by(STUDY.c.study_date.desc(), STUDY.c.study_instance_uid)
                ).scalars()
            )

    def instances(self, level_column: str, uid: str) -> list[InstanceRecord]:
        """List the instances whose `study_instance_uid`, `series_instance_uid` or `sop_instance_uid` is `uid`."""
        column = next(table.c[level_column] for table in (STUDY, SERIES, INSTANCE) if level_column in table.c)
        columns = INSTANCE.c
        with self.read("list instances") as connection:
            rows = connection.execute(
                select(
                    STUDY.c.study_instance_uid,
                    SERIES.c.series_instance_uid,
                    columns.sop_instance_uid,
                    columns.sop_class_uid,
                    columns.transfer_syntax_uid,
                    columns.file_key,
                    columns.sha256,
                    columns.embedding_state,
                    columns.reason,
                )
                .join(SERIES, SERIES.c.id == columns.series_pk)
                .join(STUDY, STUDY.c.id == columns.study_pk)
                .where(column == uid)
                .order_by(columns.id)
            )
            return [InstanceRecord(*row[:7], EmbeddingState(row[7]), row[8]) for row in rows]

    @contextmanager
    def read(self, attempt: str) -> Iterator[Connection]:
        """Give a reading connection, also to the attribute queries of this package; `attempt` goes into errors."""
        with translated(attempt), self._reading.connect() as connection:
            yield connection

    @contextmanager
    def _write(self, attempt: str) -> Iterator[Connection]:
        with translated(attempt), self._writing.begin() as connection:
            yield connection


def _modalities(connection: Connection, study_pks: Sequence[int]) -> dict[int, tuple[str, ...]]:
    rows = connection.execute(
        select(SERIES.c.study_pk, SERIES.c.modality)
        .where(SERIES.c.study_pk.in_(study_pks), SERIES.c.modality != "")
        .distinct()
        .order_by(SERIES.c.study_pk, SERIES.c.modality)
    )
    found: dict[int, tuple[str, ...]] = {}
    for pk, modality in rows:
        found[pk] = (*found.get(pk, ()), modality)
    return found
