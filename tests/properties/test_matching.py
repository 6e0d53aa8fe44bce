"""The matching of PS3.4 C.2.2.2 in SQL gives what a slow and obvious matcher in Python gives."""

from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Connection, MetaData, String, Table, select

from dicom_node.catalog.database import open_engines
from dicom_node.catalog.intake import fold
from dicom_node.catalog.matching import TEXT_VRS, WILDCARD_VRS, matching

PROBE = Table("probe", MetaData(), Column("value", String), Column("folded", String))
FAST = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

Search = Callable[[str, str, bool, list[str]], list[str]]


@pytest.fixture
def search(catalog_url: str) -> Iterator[Search]:
    """Return those of stored values that a key of a VR matches, by SQL."""
    writing, reading = open_engines(catalog_url)

    def matched(connection: Connection, vr: str, key: str, multiple: bool, stored: list[str]) -> list[str]:
        connection.execute(PROBE.delete())
        connection.execute(PROBE.insert(), [{"value": value, "folded": fold(value)} for value in stored])
        condition = matching(PROBE.c.value, vr, key, multiple, PROBE.c.folded if vr == "PN" else None)
        statement = select(PROBE.c.value)
        found = connection.execute(statement if condition is None else statement.where(condition)).scalars()
        return sorted(found)

    with writing.begin() as connection:
        PROBE.create(connection)
        yield lambda vr, key, multiple, stored: matched(connection, vr, key, multiple, stored)
        PROBE.drop(connection)
    writing.dispose()
    reading.dispose()


def glob(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(glob(pattern[1:], text[start:]) for start in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and glob(pattern[1:], text[1:])


def instant(text: str, pad: str) -> float:
    """Return the first (pad "0") or last (pad "9") moment that a TM stands for, in seconds."""
    digits = text.replace(":", "")
    whole, _, fraction = digits.partition(".")
    last = {"0": "000000", "9": "235959"}[pad]
    whole += last[len(whole) :]
    return int(whole[:2]) * 3600 + int(whole[2:4]) * 60 + int(whole[4:6]) + float(f"0.{fraction.ljust(6, pad)}")


def matches_time(key: str, stored: str) -> bool:
    first, hyphen, last = key.partition("-")
    last = last if hyphen else first
    moment = instant(stored, "0")
    return (not first or instant(first, "0") <= moment) and (not last or moment <= instant(last, "9"))


def matches_date(key: str, stored: str) -> bool:
    first, hyphen, last = key.partition("-")
    if not hyphen:
        return stored == key
    return first <= stored <= (last or "99999999")


def matches_name(key: str, name: str) -> bool:
    groups = fold(name).split("=")
    runs = (groups[start:end] for start in range(len(groups)) for end in range(start + 1, len(groups) + 1))
    return any(glob(key, "=".join(run)) for run in runs)


def matches(vr: str, key: str, multiple: bool, stored: str) -> bool:
    if vr == "PN":
        keys = [part.lstrip("=") for part in fold(key).split("\\")]
    else:
        keys = [key.strip(" ")] if vr in TEXT_VRS else [part.strip(" ") for part in key.split("\\")]
    keys = [part for part in keys if part]
    if not keys or any(set(part) == {"*"} for part in keys):
        return True
    if vr in ("DA", "TM"):
        matcher = matches_date if vr == "DA" else matches_time
        return bool(stored) and any(matcher(part, stored) for part in keys)
    compare = matches_name if vr == "PN" else glob if vr in WILDCARD_VRS else str.__eq__
    return any(compare(part, value) for part in keys for value in (stored.split("\\") if multiple else [stored]))


def check(search: Search, vr: str, key: str, multiple: bool, stored: list[str]) -> None:
    expected = sorted(value for value in stored if matches(vr, key, multiple, value))
    assert search(vr, key, multiple, stored) == expected


texts = st.text("aAbé%_*?.^ ", max_size=6).map(lambda text: text.strip(" "))
lists = st.lists(texts, min_size=1, max_size=3).map("\\".join)
names = st.lists(st.text("aAé^%?* ", max_size=4), min_size=1, max_size=3).map("=".join)
dates = st.dates().map(lambda date: date.strftime("%Y%m%d").rjust(8, "0"))


@st.composite
def times(draw: st.DrawFn) -> str:
    clock = draw(st.times())
    text = draw(st.sampled_from(["%H", "%H%M", "%H%M%S", "%H:%M:%S", "%H%M%S.%f"]))
    text = clock.strftime(text)
    return text[: len(text) - draw(st.integers(0, 5))] if "." in text else text


def ranges(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        values,
        st.builds("{}-{}".format, values, values),
        st.builds("{}-".format, values),
        st.builds("-{}".format, values),
    )


@FAST
@given(vr=st.sampled_from(["LO", "CS", "UI", "IS"]), key=lists, stored=st.lists(texts, min_size=1, max_size=5))
@example(vr="LO", key="100%", stored=["100%", "1000"])
@example(vr="LO", key="a_*", stored=["a_b", "axb"])
@example(vr="CS", key="ct", stored=["CT"])
def test_single_values(search: Search, vr: str, key: str, stored: list[str]) -> None:
    check(search, vr, key, False, stored)


@FAST
@given(key=st.text("aA\\%_*?", max_size=5), stored=st.lists(st.text("aA\\%_", max_size=5), min_size=1, max_size=5))
def test_a_backslash_in_long_text_is_a_character(search: Search, key: str, stored: list[str]) -> None:
    check(search, "LT", key, False, stored)


@FAST
@given(vr=st.sampled_from(["CS", "UI", "LO"]), key=lists, stored=st.lists(lists, min_size=1, max_size=5))
@example(vr="CS", key="A*C", stored=["A\\C", "ABC\\D", "D\\ABC"])
@example(vr="CS", key="B", stored=["A\\B", "AB", "B\\A"])
def test_one_of_several_values(search: Search, vr: str, key: str, stored: list[str]) -> None:
    check(search, vr, key, True, stored)


@FAST
@given(key=names, stored=st.lists(names, min_size=1, max_size=5))
@example(key="山田*", stored=["Yamada^Tarou=山田^太郎=やまだ^たろう"])
@example(key="doe^john", stored=["DOE^JOHN^^^", "Doe^Johnny"])
@example(key="=山田^太郎", stored=["Yamada^Tarou=山田^太郎", "Yamada"])
def test_names(search: Search, key: str, stored: list[str]) -> None:
    check(search, "PN", key, False, stored)


@FAST
@given(key=names, stored=st.lists(st.lists(names, min_size=1, max_size=2).map("\\".join), min_size=1, max_size=4))
def test_one_of_several_names(search: Search, key: str, stored: list[str]) -> None:
    check(search, "PN", key, True, stored)


@FAST
@given(key=ranges(times()), stored=st.lists(st.one_of(times(), st.just("")), min_size=1, max_size=6))
@example(key="1015-1016", stored=["101459.999999", "1015", "101500", "10:15:30", "101659.999999", "1017", "10"])
@example(key="101530.100-", stored=["101530.1", "101530.09"])
@example(key="100000", stored=["10", "1000", "100000.000", "100001"])
def test_times_of_different_precision(search: Search, key: str, stored: list[str]) -> None:
    check(search, "TM", key, False, stored)


@FAST
@given(key=ranges(dates), stored=st.lists(st.one_of(dates, st.just("")), min_size=1, max_size=6))
@example(key="-20200101", stored=["", "20200101", "20200102"])
def test_dates(search: Search, key: str, stored: list[str]) -> None:
    check(search, "DA", key, False, stored)
