"""Writing received instances into the catalog: one transaction for a batch of instances and their outbox rows.

Called by `repository.Catalog.record`. Statements are executemany upserts, so a batch costs a few round trips whatever
its size, and two processes that store the first objects of one study at once end with one study. The rule: the first
bytes under a SOP Instance UID stay; equal bytes again add nothing; other bytes are kept as another version.
"""

import functools
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Table, bindparam, func, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import AutoString, SQLModel

from dicom_node.archive import StoredFile
from dicom_node.catalog.models import Instance, OtherVersion, OutboxEntry, Queue, Series, Study
from dicom_node.instance import Header

STUDY, SERIES, INSTANCE, OTHER, OUTBOX = (
    SQLModel.metadata.tables[str(model.__tablename__)] for model in (Study, Series, Instance, OtherVersion, OutboxEntry)
)
FOLDED = {
    table.name: [name.removesuffix("_folded") for name in table.columns.keys() if name.endswith("_folded")]  # noqa: SIM118
    for table in (STUDY, SERIES)
}

# Built once: building a statement costs as much as running it.
_SELECT_KEPT = select(
    INSTANCE.c.sop_instance_uid, INSTANCE.c.id, INSTANCE.c.file_key, INSTANCE.c.sha256, INSTANCE.c.transfer_syntax_uid
).where(INSTANCE.c.sop_instance_uid.in_(bindparam("uids", expanding=True)))
_SELECT_STUDIES = select(STUDY.c.study_instance_uid, STUDY.c.id).where(
    STUDY.c.study_instance_uid.in_(bindparam("uids", expanding=True))
)
_SELECT_SERIES = select(SERIES.c.study_pk, SERIES.c.series_instance_uid, SERIES.c.id).where(
    SERIES.c.study_pk.in_(bindparam("studies", expanding=True)),
    SERIES.c.series_instance_uid.in_(bindparam("uids", expanding=True)),
)
_INSERT_OUTBOX = OUTBOX.insert()
_COUNT_IN_SERIES = (
    update(SERIES)
    .where(SERIES.c.id == bindparam("pk"))
    .values(instance_count=SERIES.c.instance_count + bindparam("added"))
)
_COUNT_IN_STUDY = (
    update(STUDY)
    .where(STUDY.c.id == bindparam("pk"))
    .values(
        instance_count=STUDY.c.instance_count + bindparam("added"),
        series_count=select(func.count()).where(SERIES.c.study_pk == STUDY.c.id).scalar_subquery(),
    )
)


class Outcome(StrEnum):
    """What became of a received instance; in each case it is kept and may be acknowledged."""

    NEW = "new"
    DUPLICATE = "duplicate"
    OTHER_VERSION = "other_version"


@dataclass(frozen=True, slots=True)
class Received:
    """A received instance: its header, its synced file, who sent it, and when (seconds since the epoch)."""

    header: Header
    file: StoredFile
    calling_ae_title: str
    received_at: float
    queue: Queue = Queue.ROUTINE


def fold(name: str) -> str:
    """Return person names as they are compared: without case (PS3.4 C.2.2.2.1), without empty parts at the end."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    return "\\".join(
        "=".join(group.strip(" ").rstrip("^ ") for group in value.split("=")).rstrip("=")
        for value in folded.split("\\")
    )


def record(connection: Connection, batch: Sequence[Received]) -> list[Outcome]:
    """Write a batch within the connection's transaction; one outcome for each, in order."""
    kept = _kept(connection, batch)
    fresh: dict[str, Received] = {}
    for item in batch:
        uid = item.header.instance["sop_instance_uid"]
        if uid not in kept:
            fresh.setdefault(uid, item)
    if fresh:
        kept |= _insert(connection, list(fresh.values()))
    outcomes = [_outcome(item, kept[item.header.instance["sop_instance_uid"]]) for item in batch]
    others = [item for item, outcome in zip(batch, outcomes, strict=True) if outcome is Outcome.OTHER_VERSION]
    already = _insert_others(connection, others, kept)
    return [
        Outcome.DUPLICATE if item.file.key in already else outcome
        for item, outcome in zip(batch, outcomes, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Kept:
    pk: int
    file_key: str
    sha256: str
    transfer_syntax_uid: str


def _kept(connection: Connection, batch: Sequence[Received]) -> dict[str, _Kept]:
    uids = sorted({item.header.instance["sop_instance_uid"] for item in batch})
    return {uid: _Kept(*rest) for uid, *rest in connection.execute(_SELECT_KEPT, {"uids": uids})}


def _outcome(item: Received, kept: _Kept) -> Outcome:
    if kept.file_key == item.file.key:
        return Outcome.NEW
    same = (kept.sha256, kept.transfer_syntax_uid) == (item.file.sha256, item.header.transfer_syntax_uid)
    return Outcome.DUPLICATE if same else Outcome.OTHER_VERSION


def _insert(connection: Connection, items: Sequence[Received]) -> dict[str, _Kept]:
    """Write new instances with all that belongs to them; return what is kept under their UIDs afterwards.

    That is not what was written where another process has stored the same instance meanwhile.
    """
    studies = _upsert_studies(connection, items)
    series = _upsert_series(connection, items, studies)
    rows = [_instance_row(item, studies, series) for item in items]
    connection.execute(_insert_new(connection.dialect.name, INSTANCE), rows)
    kept = _kept(connection, items)
    own = [
        row | {"instance_pk": found.pk, "queue": item.queue.value}
        for item, row in zip(items, rows, strict=True)
        if (found := kept[item.header.instance["sop_instance_uid"]]).file_key == item.file.key
    ]
    if own:
        connection.execute(_INSERT_OUTBOX, [_outbox_row(row) for row in own])
        _add_to_counts(connection, own)
    return kept


def _outbox_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "instance_pk": row["instance_pk"],
        "queue": row["queue"],
        "leased_until": 0.0,
        "attempts": 0,
        "enqueued_at": row["received_at"],
        "last_error": "",
    }


def _upsert_studies(connection: Connection, items: Iterable[Received]) -> dict[str, int]:
    rows: dict[str, dict[str, Any]] = {}
    for item in items:
        text = _with_folded(STUDY, item.header.study)
        row = rows.setdefault(text["study_instance_uid"], text | _receipt(item))
        _fill_gaps(row, text)
        row["last_received_at"] = max(row["last_received_at"], item.received_at)
    # In one order everywhere, so that two processes cannot wait for each other.
    connection.execute(_upsert_study(connection.dialect.name), [rows[uid] for uid in sorted(rows)])
    found = connection.execute(_SELECT_STUDIES, {"uids": sorted(rows)})
    return {row.study_instance_uid: row.id for row in found}


def _receipt(item: Received) -> dict[str, Any]:
    return {
        "series_count": 0,
        "instance_count": 0,
        "first_received_at": item.received_at,
        "last_received_at": item.received_at,
    }


def _upsert_series(
    connection: Connection, items: Iterable[Received], studies: Mapping[str, int]
) -> dict[tuple[int, str], int]:
    rows: dict[tuple[int, str], dict[str, Any]] = {}
    for item in items:
        study_pk = studies[item.header.study["study_instance_uid"]]
        text = _with_folded(SERIES, item.header.series)
        row = rows.setdefault(
            (study_pk, text["series_instance_uid"]), text | {"study_pk": study_pk, "instance_count": 0}
        )
        _fill_gaps(row, text)
    connection.execute(_upsert_one_series(connection.dialect.name), [rows[key] for key in sorted(rows)])
    found = connection.execute(
        _SELECT_SERIES,
        {"studies": sorted({study_pk for study_pk, _ in rows}), "uids": sorted({uid for _, uid in rows})},
    )
    return {(study_pk, uid): pk for study_pk, uid, pk in found}


def _with_folded(table: Table, text: Mapping[str, str]) -> dict[str, Any]:
    return dict(text) | {f"{name}_folded": fold(text[name]) for name in FOLDED[table.name]}


def _fill_gaps(row: dict[str, Any], text: Mapping[str, Any]) -> None:
    row.update({column: value for column, value in text.items() if not row[column]})


@functools.cache
def _upsert_study(dialect: str) -> Any:
    """Return the statement, built once: building costs as much as running it."""
    statement = _insert_into(dialect, STUDY)
    changes = _gap_filling(STUDY, statement.excluded) | {"last_received_at": statement.excluded.last_received_at}
    return statement.on_conflict_do_update(index_elements=["study_instance_uid"], set_=changes)


@functools.cache
def _upsert_one_series(dialect: str) -> Any:
    statement = _insert_into(dialect, SERIES)
    return statement.on_conflict_do_update(
        index_elements=["study_pk", "series_instance_uid"], set_=_gap_filling(SERIES, statement.excluded)
    )


@functools.cache
def _insert_new(dialect: str, table: Table) -> Any:
    return _insert_into(dialect, table).on_conflict_do_nothing()


def _gap_filling(table: Table, excluded: Any) -> dict[str, Any]:
    """Return what a later instance changes of an existing row: it fills empty text, and nothing else."""
    keys = {"study_instance_uid", "series_instance_uid"}
    texts = [column.name for column in table.columns if isinstance(column.type, AutoString) and column.name not in keys]
    return {name: func.coalesce(func.nullif(table.c[name], literal("")), excluded[name]) for name in texts}


def _instance_row(item: Received, studies: Mapping[str, int], series: Mapping[tuple[int, str], int]) -> dict[str, Any]:
    study_pk = studies[item.header.study["study_instance_uid"]]
    return dict(item.header.instance) | {
        "study_pk": study_pk,
        "series_pk": series[study_pk, item.header.series["series_instance_uid"]],
        "embedding_state": "pending",
        "reason": "",
        "vector_count": 0,
        **_file_columns(item),
    }


def _file_columns(item: Received) -> dict[str, Any]:
    return {
        "transfer_syntax_uid": item.header.transfer_syntax_uid,
        "file_key": item.file.key,
        "size_bytes": item.file.size_bytes,
        "sha256": item.file.sha256,
        "calling_ae_title": item.calling_ae_title,
        "received_at": item.received_at,
    }


def _add_to_counts(connection: Connection, own: Sequence[Mapping[str, Any]]) -> None:
    by_series = Counter(row["series_pk"] for row in own)
    by_study = Counter(row["study_pk"] for row in own)
    for statement, counts in ((_COUNT_IN_SERIES, by_series), (_COUNT_IN_STUDY, by_study)):
        connection.execute(statement, [{"pk": pk, "added": counts[pk]} for pk in sorted(counts)])


def _insert_others(connection: Connection, items: Sequence[Received], kept: Mapping[str, _Kept]) -> set[str]:
    """Keep other versions; return the file keys of those that were kept before."""
    if not items:
        return set()
    rows = [_file_columns(item) | {"instance_pk": kept[item.header.instance["sop_instance_uid"]].pk} for item in items]
    connection.execute(_insert_new(connection.dialect.name, OTHER), rows)
    keys = {row["file_key"] for row in rows}
    present = connection.execute(select(OTHER.c.file_key).where(OTHER.c.file_key.in_(keys))).scalars()
    return keys - set(present)


def _insert_into(dialect: str, table: Table) -> Any:
    return (sqlite if dialect == "sqlite" else postgresql).insert(table)
