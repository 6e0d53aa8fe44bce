"""The rows of hierarchical queries: one SELECT per page, and what it cannot gather collected for the whole page.

Called by `attribute_search` with parsed keys. The rule: a page is one short reading transaction, so that however slow
the asker is, none outlives it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, func, or_, select
from sqlalchemy.sql.selectable import NamedFromClause

from dicom_node.attributes import BY_KEYWORD, COMPUTED_BY_KEYWORD, QueryLevel
from dicom_node.catalog.intake import INSTANCE, SERIES, STUDY
from dicom_node.catalog.matching import TABLES, conditions
from dicom_node.catalog.repository import Catalog

PAGE_ROWS = 200
# Texts by keyword: of a match, or the keys of a query.
Row = Mapping[str, str]


def find_rows(catalog: Catalog, level: QueryLevel, keys: Row) -> Iterator[Row]:
    """Yield what matches and is asked for, in the order of receipt, in constant memory. Raises Unavailable."""
    statement = _statement(level, keys).where(*conditions(level, keys))
    key = TABLES[level].c.id
    last = 0
    while True:
        page = statement.where(key > last).order_by(key).limit(PAGE_ROWS)
        with catalog.read("search") as connection:
            rows = _rows(connection, page, level, keys)
        yield from (row for _, row in rows)
        if len(rows) < PAGE_ROWS:
            return
        last = rows[-1][0]


def rows_of_studies(catalog: Catalog, uids: Sequence[str], keys: Row) -> dict[str, Row]:
    """Return what keys ask for of these studies, by Study Instance UID; their values are not matched on."""
    wanted = {**keys, "StudyInstanceUID": ""}
    statement = _statement(QueryLevel.STUDY, wanted).where(STUDY.c.study_instance_uid.in_(uids))
    with catalog.read("read studies") as connection:
        rows = _rows(connection, statement, QueryLevel.STUDY, wanted)
    return {row["StudyInstanceUID"]: row for _, row in rows}


def find_studies(catalog: Catalog, keys: Row, limit: int | None = None) -> list[str]:
    """List the Study Instance UIDs that match keys of studies and series, in the order of receipt."""
    wanted = conditions(QueryLevel.STUDY, keys)
    statement = select(STUDY.c.study_instance_uid).where(*wanted).order_by(STUDY.c.id).limit(limit)
    with catalog.read("search studies") as connection:
        return list(connection.execute(statement).scalars())


def study_matches(catalog: Catalog, study_instance_uid: str, keys: Row) -> bool:
    """Tell whether this study matches keys of studies and series."""
    statement = select(STUDY.c.id).where(
        STUDY.c.study_instance_uid == study_instance_uid, *conditions(QueryLevel.STUDY, keys)
    )
    with catalog.read("match a study") as connection:
        return connection.execute(statement).first() is not None


def is_held(catalog: Catalog, level: QueryLevel, keys: Row) -> bool:
    """Tell whether anything at the level matches."""
    statement = _from(level, select(TABLES[level].c.id)).where(*conditions(level, keys)).limit(1)
    with catalog.read("look up an entity") as connection:
        return connection.execute(statement).first() is not None


def _statement(level: QueryLevel, keys: Row) -> Select[Any]:
    """Select what the keys ask for, the primary keys of the row and of its study first."""
    selected = [column for keyword in keys if (column := _column(keyword, level)) is not None]
    statement = _from(level, select(TABLES[level].c.id.label("_pk"), STUDY.c.id.label("_study_pk"), *selected))
    return statement.where(_is_newest_of_patient()) if level is QueryLevel.PATIENT else statement


def _from(level: QueryLevel, statement: Select[Any]) -> Select[Any]:
    statement = statement.select_from(TABLES[level])
    if level is QueryLevel.IMAGE:
        statement = statement.join(SERIES, SERIES.c.id == INSTANCE.c.series_pk)
    if level >= QueryLevel.SERIES:
        statement = statement.join(STUDY, STUDY.c.id == SERIES.c.study_pk)
    return statement


def _column(keyword: str, level: QueryLevel) -> ColumnElement[Any] | None:
    """Return the expression that answers a key in the row's own statement; None for what `_gather` collects."""
    if keyword in BY_KEYWORD:
        attribute = BY_KEYWORD[keyword]
        return TABLES[attribute.level].c[attribute.column].label(keyword) if attribute.level <= level else None
    counts: dict[str, ColumnElement[Any]] = {
        "NumberOfStudyRelatedSeries": STUDY.c.series_count,
        "NumberOfStudyRelatedInstances": STUDY.c.instance_count,
        "NumberOfSeriesRelatedInstances": SERIES.c.instance_count,
    }
    if keyword in counts:
        return counts[keyword].label(keyword)
    if keyword.startswith("NumberOfPatientRelated"):
        return _patient_count(keyword).label(keyword)
    return None


def _patient_count(keyword: str) -> ColumnElement[Any]:
    other = STUDY.alias()
    counted = {
        "NumberOfPatientRelatedStudies": func.count(other.c.id),
        "NumberOfPatientRelatedSeries": func.sum(other.c.series_count),
        "NumberOfPatientRelatedInstances": func.sum(other.c.instance_count),
    }[keyword]
    return select(counted).where(_same_patient(other)).correlate(STUDY).scalar_subquery()


def _same_patient(other: NamedFromClause[Any]) -> ColumnElement[bool]:
    """Whether a study is of the same patient; where there is no Patient ID the name has to tell."""
    return and_(
        other.c.patient_id == STUDY.c.patient_id,
        other.c.issuer_of_patient_id == STUDY.c.issuer_of_patient_id,
        or_(other.c.patient_id != "", other.c.patient_name_folded == STUDY.c.patient_name_folded),
    )


def _is_newest_of_patient() -> ColumnElement[bool]:
    """Whether a study is the one that gives the patient's row: its attributes are what the patient was last called."""
    newer = STUDY.alias()
    later = or_(
        newer.c.study_date > STUDY.c.study_date,
        and_(newer.c.study_date == STUDY.c.study_date, newer.c.id > STUDY.c.id),
    )
    return ~select(newer.c.id).where(_same_patient(newer), later).correlate(STUDY).exists()


def _rows(connection: Connection, statement: Select[Any], level: QueryLevel, keys: Row) -> list[tuple[int, Row]]:
    """Run a statement; return (primary key, row) of each match."""
    found = connection.execute(statement).mappings().all()
    studies = [record["_study_pk"] for record in found]
    gathered = {keyword: _gather(connection, keyword, studies) for keyword in keys if _column(keyword, level) is None}
    rows: list[tuple[int, Row]] = []
    for record in found:
        row = {keyword: str(value) for keyword, value in record.items() if not keyword.startswith("_")}
        row.update({keyword: of_study.get(record["_study_pk"], "") for keyword, of_study in gathered.items()})
        rows.append((record["_pk"], row))
    return rows


def _gather(connection: Connection, keyword: str, study_pks: Sequence[int]) -> dict[int, str]:
    """Collect the distinct values of an attribute over each study's series or instances, joined by backslashes."""
    attribute = BY_KEYWORD.get(keyword) or COMPUTED_BY_KEYWORD[keyword]
    if not attribute.column:
        return {}
    table: Table = INSTANCE if attribute.column in INSTANCE.c else SERIES
    column = table.c[attribute.column]
    statement = select(table.c.study_pk, column).where(table.c.study_pk.in_(set(study_pks)), column != "").distinct()
    values: dict[int, list[str]] = {}
    for study_pk, value in connection.execute(statement.order_by(table.c.study_pk, column)):
        values.setdefault(study_pk, []).append(value)
    return {study_pk: "\\".join(texts) for study_pk, texts in values.items()}
