"""Which kept instances a retrieve means, and where their bytes lie: counted first, then read page by page.

Called by `retrieve` with unique keys. The rule: what is stored after the counting is not part of it, and a page is one
short reading transaction, so that a slow receiver holds none open.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select

from dicom_node.attributes import BY_KEYWORD
from dicom_node.catalog.intake import INSTANCE, SERIES, STUDY
from dicom_node.catalog.matching import TABLES
from dicom_node.catalog.repository import Catalog

PAGE_ROWS = 200
# A SOP Class UID and a Transfer Syntax UID.
Kind = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Selection:
    """What a retrieve means: values by unique keyword, how many instances, of which kinds (the most frequent first).

    `last_pk` is the last instance that was counted.
    """

    keys: Mapping[str, tuple[str, ...]]
    count: int
    kinds: tuple[Kind, ...]
    last_pk: int


@dataclass(frozen=True, slots=True)
class KeptInstance:
    """One instance to be sent. `sha256` (hex) is of the data set as received."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    file_key: str
    sha256: str


def select_instances(catalog: Catalog, keys: Mapping[str, tuple[str, ...]]) -> Selection:
    """Count what lies in all of these. Raises Unavailable."""
    columns = INSTANCE.c
    number = func.count()
    statement = (
        _joined(select(columns.sop_class_uid, columns.transfer_syntax_uid, number, func.max(columns.id)))
        .where(*_conditions(keys))
        .group_by(columns.sop_class_uid, columns.transfer_syntax_uid)
        .order_by(number.desc(), columns.sop_class_uid, columns.transfer_syntax_uid)
    )
    with catalog.read("count what to retrieve") as connection:
        rows = connection.execute(statement).all()
    return Selection(
        keys=keys,
        count=sum(count for _, _, count, _ in rows),
        kinds=tuple((sop_class, transfer_syntax) for sop_class, transfer_syntax, _, _ in rows),
        last_pk=max((last for _, _, _, last in rows), default=0),
    )


def selected_instances(catalog: Catalog, selection: Selection) -> Iterator[KeptInstance]:
    """Yield the instances of a selection in the order of receipt, in constant memory. Raises Unavailable."""
    columns = INSTANCE.c
    statement = _joined(
        select(
            columns.id,
            columns.sop_class_uid,
            columns.sop_instance_uid,
            columns.transfer_syntax_uid,
            columns.file_key,
            columns.sha256,
        )
    ).where(*_conditions(selection.keys), columns.id <= selection.last_pk)
    last = 0
    while True:
        page = statement.where(columns.id > last).order_by(columns.id).limit(PAGE_ROWS)
        with catalog.read("list what to retrieve") as connection:
            rows = connection.execute(page).all()
        yield from (KeptInstance(*row[1:]) for row in rows)
        if len(rows) < PAGE_ROWS:
            return
        last = rows[-1][0]


def _joined(statement: Select[Any]) -> Select[Any]:
    return (
        statement.select_from(INSTANCE)
        .join(SERIES, SERIES.c.id == INSTANCE.c.series_pk)
        .join(STUDY, STUDY.c.id == INSTANCE.c.study_pk)
    )


def _conditions(keys: Mapping[str, tuple[str, ...]]) -> list[ColumnElement[bool]]:
    attributes = ((BY_KEYWORD[keyword], values) for keyword, values in keys.items())
    return [TABLES[attribute.level].c[attribute.column].in_(values) for attribute, values in attributes]
