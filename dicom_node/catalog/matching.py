"""Attribute matching of PS3.4 C.2.2.2 as conditions on the catalog's columns.

Used by `search` for every door. The rule: what a key means depends on its VR alone, the wildcards of SQL are ordinary
characters, and SQLite and PostgreSQL give the same answer. Column values are as `models` describes them.
"""

import re
from collections.abc import Mapping

from pydicom.datadict import dictionary_VM
from sqlalchemy import ColumnElement, Select, Table, and_, func, or_, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from dicom_node.attributes import BY_KEYWORD, COMPUTED_BY_KEYWORD, Attribute, QueryLevel
from dicom_node.catalog.intake import INSTANCE, SERIES, STUDY, fold

TABLES: dict[QueryLevel, Table] = {
    QueryLevel.PATIENT: STUDY,
    QueryLevel.STUDY: STUDY,
    QueryLevel.SERIES: SERIES,
    QueryLevel.IMAGE: INSTANCE,
}
# PS3.4 C.2.2.2.4
WILDCARD_VRS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
# In these a backslash is a character like others (PS3.5 6.2).
TEXT_VRS = frozenset({"LT", "ST", "UT"})
MULTIPLE = frozenset(keyword for keyword in BY_KEYWORD if dictionary_VM(keyword) != "1")
# Greater than any character that can go on a date or time.
AFTER = ":"

Text = ColumnElement[str]
Condition = ColumnElement[bool]


class bytewise(FunctionElement[str]):  # noqa: N801 - reads as the SQL function it stands for
    """A text column compared by code points: PostgreSQL would otherwise compare by the rules of a language."""

    inherit_cache = True
    name = "bytewise"


@compiles(bytewise)
def _bytewise(element: bytewise, compiler: SQLCompiler, **options: object) -> str:
    return compiler.process(element.clauses, **options)


@compiles(bytewise, "postgresql")
def _bytewise_postgresql(element: bytewise, compiler: SQLCompiler, **options: object) -> str:
    return f'({compiler.process(element.clauses, **options)} COLLATE "C")'


def conditions(level: QueryLevel, keys: Mapping[str, str]) -> list[Condition]:
    """Return what a row of the query level's table must fulfil; joins to the tables above are the caller's.

    A key of the series at STUDY level, and those about a study's modalities and SOP classes, ask for any one of its
    series or instances. Keys that are not matched on (zero length, or no column) give no condition.
    """
    found = (_condition_of(level, keyword, value) for keyword, value in keys.items())
    return [condition for condition in found if condition is not None]


def matching(column: Text, vr: str, value: str, multiple: bool = False, folded: Text | None = None) -> Condition | None:
    """Return the condition that a column matches a key's value; None for universal matching.

    `multiple`: the column may hold several values, joined by a backslash. `folded`: the column of a PN as `fold`
    makes it.
    """
    values = [part for part in _values(vr, value) if part]
    # PS3.4 C.2.2.2.3; a lone asterisk is taken so for every VR.
    if not values or any(set(part) == {"*"} for part in values):
        return None
    return or_(*(_one(column, vr, part, multiple, folded) for part in values))


def _values(vr: str, value: str) -> list[str]:
    if vr in TEXT_VRS:
        return [value.strip(" ")]
    if vr == "PN":
        # A component group left empty at the front matches any.
        return [name.lstrip("=") for name in fold(value).split("\\")]
    return [part.strip(" ") for part in value.split("\\")]


def _condition_of(level: QueryLevel, keyword: str, value: str) -> Condition | None:
    attribute = BY_KEYWORD.get(keyword) or COMPUTED_BY_KEYWORD[keyword]
    if not attribute.column:
        return None
    if keyword == "SOPClassesInStudy":
        return _any(INSTANCE, attribute, value)
    if keyword == "ModalitiesInStudy" or attribute.level > level:
        return _any(SERIES, attribute, value)
    return _on(TABLES[attribute.level], attribute, value)


def _any(table: Table, attribute: Attribute, value: str) -> Condition | None:
    """Ask for any series or instance of the study."""
    child = table.alias()
    condition = _on(child, attribute, value)
    if condition is None:
        return None
    inner: Select[tuple[int]] = select(child.c.id).where(child.c.study_pk == STUDY.c.id, condition)
    return inner.correlate(STUDY).exists()


def _on(table: object, attribute: Attribute, value: str) -> Condition | None:
    columns = table.c  # type: ignore[attr-defined] # Table and Alias share no typed base that has columns by name
    folded = columns[f"{attribute.column}_folded"] if attribute.vr == "PN" else None
    return matching(columns[attribute.column], attribute.vr, value, attribute.keyword in MULTIPLE, folded)


def _one(column: Text, vr: str, value: str, multiple: bool, folded: Text | None) -> Condition:
    if vr in ("DA", "TM"):
        return _date_or_time(column, vr, value)
    if vr == "PN" and folded is not None:
        return _person_name(folded, value, multiple)
    if multiple:
        return column.regexp_match(rf"(^|\\){_regex(value, vr)}(\Z|\\)")
    return _single(column, vr, value)


def _single(column: Text, vr: str, value: str) -> Condition:
    if vr in WILDCARD_VRS and ("*" in value or "?" in value):
        return column.like(_like(value), escape="\\")
    return column == value


def _person_name(folded: Text, value: str, multiple: bool) -> Condition:
    """Match a whole name or any run of its component groups (PS3.5 6.2.1.1: alphabetic, ideographic, phonetic)."""
    if multiple:
        return folded.regexp_match(rf"(^|[\\=]){_regex(value, 'PN')}(\Z|[\\=])")
    # A name without wildcards is looked up in the column's index before it is searched for among the groups.
    wild = "*" in value or "?" in value
    pattern = _like(value)
    whole = folded.like(pattern, escape="\\") if wild else folded == value
    groups = (f"{pattern}=%", f"%={pattern}", f"%={pattern}=%")
    return or_(whole, *(folded.like(group, escape="\\") for group in groups))


def _date_or_time(column: Text, vr: str, value: str) -> Condition:
    """Match a range `a-b`, `a-`, `-b` (PS3.4 C.2.2.2.5), or a value as the range of its own precision.

    Times of different precision compare by what they stand for: 10 is 100000, and -1015 reaches to 101559.999999.
    """
    present = column != ""
    if vr == "TM":
        column, value = func.replace(column, AFTER, ""), value.replace(AFTER, "")
    first, hyphen, last = value.partition("-")
    if not hyphen:
        if vr == "DA":
            return column == value
        last = first
    compared = bytewise(column)
    bounds = [compared >= (first if vr == "DA" else _shortest(first))] if first else []
    if last:
        bounds.append(compared < last + AFTER)
    return and_(present, *bounds)


def _shortest(moment: str) -> str:
    """Return the shortest text that stands for the same time, so that it is not greater than any other of them."""
    whole, _, fraction = moment.partition(".")
    fraction = fraction.rstrip("0")
    if fraction:
        return f"{whole}.{fraction}"
    return re.sub(r"(00)+\Z", "", whole)


def _like(value: str) -> str:
    """Translate wildcards to LIKE with a backslash as its escape character."""
    literal = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return re.sub(r"\*+", "%", literal).replace("?", "_")


def _regex(value: str, vr: str) -> str:
    """Translate wildcards to a regular expression that stays within one value."""
    if vr not in WILDCARD_VRS:
        return re.escape(value)
    pieces = {"*": r"[^\\]*", "?": r"[^\\]"}
    return "".join(pieces.get(character) or re.escape(character) for character in re.sub(r"\*+", "*", value))
