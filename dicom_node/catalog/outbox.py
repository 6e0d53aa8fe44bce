"""The outbox: what is still to be embedded, who has it, and how each ended.

Called by `dispatch` (claim, release) and by the workers (mark). A row is claimed by lease; a lease that runs out makes
the row claimable again by the same query, which is how every lost message, worker or broker heals. A try is counted
when a worker begins, and taken back when it could not go on for no fault of the instance. The rule: every call may
come twice, late or out of order and changes nothing that is already settled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from dicom_node.catalog.intake import INSTANCE, OUTBOX, SERIES, STUDY
from dicom_node.catalog.models import EmbeddingState, Queue


@dataclass(frozen=True, slots=True)
class Announcement:
    """One claimed row: the instance, its queue, and how often a worker began with it in vain."""

    sop_instance_uid: str
    queue: Queue
    attempts: int


@dataclass(frozen=True, slots=True)
class Pending:
    """What a worker must know of an instance to embed it."""

    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    file_key: str
    sop_class_uid: str
    instance_number: str
    received_at: float
    attributes: Mapping[str, str]


def claim(connection: Connection, queue: Queue, limit: int, now: float, lease_s: float) -> list[Announcement]:
    """Lease up to `limit` waiting or lost rows of a queue, the oldest first."""
    chosen = (
        select(OUTBOX.c.id)
        .where(OUTBOX.c.queue == queue.value, OUTBOX.c.leased_until <= now)
        .order_by(OUTBOX.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    pks = list(connection.execute(chosen).scalars())
    if not pks:
        return []
    mine = OUTBOX.c.id.in_(pks)
    connection.execute(update(OUTBOX).where(mine).values(leased_until=now + lease_s))
    rows = connection.execute(
        select(INSTANCE.c.sop_instance_uid, OUTBOX.c.attempts)
        .join(INSTANCE, INSTANCE.c.id == OUTBOX.c.instance_pk)
        .where(mine)
        .order_by(OUTBOX.c.id)
    )
    return [Announcement(uid, queue, attempts) for uid, attempts in rows]


def unclaim(connection: Connection, uids: Sequence[str]) -> None:
    """Undo a claim whose message could not be sent."""
    connection.execute(update(OUTBOX).where(_of(uids)).values(leased_until=0.0))


def begin(connection: Connection, uids: Sequence[str], until: float) -> None:
    """Note that a worker tries these instances, and has them until then."""
    connection.execute(update(OUTBOX).where(_of(uids)).values(leased_until=until, attempts=OUTBOX.c.attempts + 1))


def renew(connection: Connection, uids: Sequence[str], until: float) -> None:
    """Extend the lease of instances that a worker has begun with."""
    connection.execute(update(OUTBOX).where(_of(uids)).values(leased_until=until))


def release(connection: Connection, uids: Sequence[str], until: float, error: str, counts: bool) -> None:
    """Give rows that a worker began with back: claimable again at `until`, with the reason why.

    Without `counts` the try is taken back: what was missing was not theirs.
    """
    attempts = OUTBOX.c.attempts - (0 if counts else 1)
    values = {"leased_until": until, "last_error": error[:500], "attempts": attempts}
    connection.execute(update(OUTBOX).where(_of(uids)).values(**values))


def pending(connection: Connection, uids: Sequence[str]) -> list[Pending]:
    """Return those of `uids` that are still to be embedded, with what a worker needs, in the order of the outbox."""
    attribute_columns = (
        SERIES.c.modality,
        SERIES.c.body_part_examined,
        STUDY.c.study_date,
        STUDY.c.patient_sex,
        STUDY.c.patient_id,
        STUDY.c.issuer_of_patient_id,
    )
    rows = connection.execute(
        select(
            INSTANCE.c.sop_instance_uid,
            SERIES.c.series_instance_uid,
            STUDY.c.study_instance_uid,
            INSTANCE.c.file_key,
            INSTANCE.c.sop_class_uid,
            INSTANCE.c.instance_number,
            INSTANCE.c.received_at,
            *attribute_columns,
        )
        .join(OUTBOX, OUTBOX.c.instance_pk == INSTANCE.c.id)
        .join(SERIES, SERIES.c.id == INSTANCE.c.series_pk)
        .join(STUDY, STUDY.c.id == INSTANCE.c.study_pk)
        .where(INSTANCE.c.sop_instance_uid.in_(uids))
        .order_by(OUTBOX.c.id)
    )
    names = [column.name for column in attribute_columns]
    return [Pending(*row[:7], attributes=dict(zip(names, row[7:], strict=True))) for row in rows]


def mark_embedded(connection: Connection, vector_counts: Mapping[str, int], now: float) -> None:
    """Settle instances whose vectors (how many, by SOP Instance UID) the index has acknowledged."""
    for uid, count in vector_counts.items():
        _settle(connection, [uid], EmbeddingState.EMBEDDED, vector_count=count, embedded_at=now, reason="")


def mark_rejected(connection: Connection, reasons: Mapping[str, str]) -> None:
    """Settle instances that have nothing to embed or cannot be decoded, with the reason (by SOP Instance UID)."""
    for uid, reason in reasons.items():
        _settle(connection, [uid], EmbeddingState.REJECTED, reason=reason[:500])


def bury(connection: Connection, maximum_attempts: int, now: float) -> int:
    """Make dead letters of rows that workers began with `maximum_attempts` times in vain; return how many."""
    rows = connection.execute(
        select(INSTANCE.c.sop_instance_uid, OUTBOX.c.last_error, OUTBOX.c.attempts)
        .join(INSTANCE, INSTANCE.c.id == OUTBOX.c.instance_pk)
        .where(OUTBOX.c.attempts >= maximum_attempts, OUTBOX.c.leased_until <= now)
    ).all()
    for uid, error, attempts in rows:
        reason = f"gave up after {attempts} tries: {error or 'no worker came to its end'}"
        _settle(connection, [uid], EmbeddingState.FAILED, reason=reason)
    return len(rows)


def retry(connection: Connection, uids: Sequence[str] | None, states: Sequence[EmbeddingState], now: float) -> int:
    """Put instances of these settled states (all, or those among `uids`) back into the outbox; return how many."""
    condition: Any = INSTANCE.c.embedding_state.in_([state.value for state in states])
    if uids is not None:
        condition &= INSTANCE.c.sop_instance_uid.in_(uids)
    pks = list(connection.execute(select(INSTANCE.c.id).where(condition)).scalars())
    if not pks:
        return 0
    connection.execute(
        update(INSTANCE).where(condition).values(embedding_state=EmbeddingState.PENDING.value, reason="")
    )
    connection.execute(
        OUTBOX.insert(),
        [
            {
                "instance_pk": pk,
                "queue": Queue.BACKFILL.value,
                "leased_until": 0.0,
                "attempts": 0,
                "enqueued_at": now,
                "last_error": "",
            }
            for pk in pks
        ],
    )
    return len(pks)


def hurry(connection: Connection, study_instance_uid: str) -> int:
    """Move a study's pending instances to the `stat` queue and end their leases; return how many are pending."""
    of_study = OUTBOX.c.instance_pk.in_(
        select(INSTANCE.c.id)
        .join(STUDY, STUDY.c.id == INSTANCE.c.study_pk)
        .where(STUDY.c.study_instance_uid == study_instance_uid)
    )
    connection.execute(
        update(OUTBOX)
        .where(of_study, OUTBOX.c.queue != Queue.STAT.value)
        .values(queue=Queue.STAT.value, leased_until=0.0)
    )
    return connection.execute(select(func.count()).select_from(OUTBOX).where(of_study)).scalar_one()


def _of(uids: Sequence[str]) -> Any:
    return OUTBOX.c.instance_pk.in_(select(INSTANCE.c.id).where(INSTANCE.c.sop_instance_uid.in_(uids)))


def _settle(connection: Connection, uids: Sequence[str], state: EmbeddingState, **values: Any) -> None:
    connection.execute(delete(OUTBOX).where(_of(uids)))
    connection.execute(
        update(INSTANCE).where(INSTANCE.c.sop_instance_uid.in_(uids)).values(embedding_state=state.value, **values)
    )
