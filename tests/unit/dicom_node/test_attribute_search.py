"""Hierarchical queries over a small catalog, on every supported database."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from dicom_node.archive import StoredFile
from dicom_node.attribute_search import AttributeSearch, check_hierarchy
from dicom_node.attributes import QueryLevel
from dicom_node.catalog import search as catalog_search
from dicom_node.catalog.intake import Received
from dicom_node.catalog.repository import Catalog
from dicom_node.errors import IdentifierMismatch, Unavailable
from dicom_node.identifier import Model, Query
from dicom_node.instance import header_of
from dicom_node.settings import DicomSettings
from index_service.port import Condition
from tests.dicom import ct, new_uid

INSTANCES: list[dict[str, Any]] = [
    # One patient with two studies, the newer one stored first and with two modalities.
    {"StudyInstanceUID": "1.1", "SeriesInstanceUID": "1.1.1", "StudyDate": "20240301", "PatientName": "Doe^Jane"},
    {"StudyInstanceUID": "1.1", "SeriesInstanceUID": "1.1.1", "StudyDate": "20240301", "PatientName": "Doe^Jane"},
    {
        "StudyInstanceUID": "1.1", "SeriesInstanceUID": "1.1.2", "StudyDate": "20240301", "PatientName": "Doe^Jane",
        "Modality": "PT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.128", "BodyPartExamined": "CHEST",
    },
    {
        "StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.2.1", "StudyDate": "20200101", "AccessionNumber": "A2",
        "PatientName": "Smith^Jane",
    },
    # Another patient, and two without Patient ID.
    {
        "StudyInstanceUID": "2.1", "SeriesInstanceUID": "2.1.1", "PatientID": "P2", "PatientName": "Müller^Max",
        "PatientSex": "M", "Modality": "MR", "AccessionNumber": "",
    },
    {"StudyInstanceUID": "3.1", "SeriesInstanceUID": "3.1.1", "PatientID": "", "PatientName": "Nobody^A"},
    {"StudyInstanceUID": "4.1", "SeriesInstanceUID": "4.1.1", "PatientID": "", "PatientName": "Nobody^B"},
]  # fmt: skip


def received(**elements: Any) -> Received:
    header = header_of(ct(SOPInstanceUID=new_uid(), **elements), "1.2.840.10008.1.2.1")
    return Received(header, StoredFile(new_uid(), 1, "aa"), "SCANNER", time.time())


@pytest.fixture
def catalog(catalog_url: str) -> Iterator[Catalog]:
    with Catalog(catalog_url) as catalog:
        for elements in INSTANCES:
            catalog.record([received(**elements)])
        yield catalog


@pytest.fixture
def search(catalog: Catalog) -> AttributeSearch:
    return AttributeSearch(catalog, DicomSettings())


def query(level: str, model: Model = Model.STUDY_ROOT, **keys: str) -> Query:
    return Query(model, QueryLevel[level], keys)


def found(search: AttributeSearch, asked: Query, *keywords: str) -> list[tuple[str, ...]]:
    asked = Query(asked.model, asked.level, dict.fromkeys(keywords, "") | dict(asked.keys))
    return [tuple(row[keyword] for keyword in keywords) for row in search.find(asked)]


def test_a_patient_row_is_its_newest_study_and_counts_them_all(search: AttributeSearch) -> None:
    keywords = (
        "PatientID", "PatientName", "NumberOfPatientRelatedStudies", "NumberOfPatientRelatedSeries",
        "NumberOfPatientRelatedInstances",
    )  # fmt: skip
    assert found(search, query("PATIENT", Model.PATIENT_ROOT), *keywords) == [
        ("P1", "Doe^Jane", "2", "3", "4"),
        ("P2", "Müller^Max", "1", "1", "1"),
        ("", "Nobody^A", "1", "1", "1"),
        ("", "Nobody^B", "1", "1", "1"),
    ]


def test_a_patient_matches_by_the_attributes_of_its_row(search: AttributeSearch) -> None:
    assert found(search, query("PATIENT", PatientName="smith*"), "PatientID") == []
    assert found(search, query("PATIENT", PatientName="doe*"), "PatientID") == [("P1",)]


def test_studies_with_what_their_series_hold(search: AttributeSearch) -> None:
    keywords = (
        "StudyInstanceUID", "ModalitiesInStudy", "SOPClassesInStudy", "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
    )  # fmt: skip
    classes = "1.2.840.10008.5.1.4.1.1.128\\1.2.840.10008.5.1.4.1.1.2"
    assert found(search, query("STUDY", PatientID="P1"), *keywords) == [
        ("1.1", "CT\\PT", classes, "2", "3"),
        ("1.2", "CT", "1.2.840.10008.5.1.4.1.1.2", "1", "1"),
    ]


@pytest.mark.parametrize(
    ("keys", "studies"),
    [
        ({"ModalitiesInStudy": "PT"}, ["1.1"]),
        ({"ModalitiesInStudy": "PT\\MR"}, ["1.1", "2.1"]),
        ({"ModalitiesInStudy": "C*", "PatientID": "P1"}, ["1.1", "1.2"]),
        ({"SOPClassesInStudy": "1.2.840.10008.5.1.4.1.1.128"}, ["1.1"]),
        ({"BodyPartExamined": "CHEST"}, ["1.1"]),
        ({"StudyInstanceUID": "1.2\\2.1\\9.9"}, ["1.2", "2.1"]),
        ({"StudyDate": "20200101-20201231"}, ["1.2"]),
        ({"PatientName": "MÜLLER*"}, ["2.1"]),
        ({"PatientID": "p1"}, []),
        ({"AccessionNumber": "A?", "PatientID": "P*"}, ["1.1", "1.2"]),
        ({"NumberOfStudyRelatedSeries": "7"}, ["1.1", "1.2", "2.1", "3.1", "4.1"]),
        ({"PatientName": "*' OR 1=1 --"}, []),
    ],
)
def test_matching_of_studies(search: AttributeSearch, keys: dict[str, str], studies: list[str]) -> None:
    assert found(search, query("STUDY", **keys), "StudyInstanceUID") == [(uid,) for uid in studies]


def test_series_and_instances_come_with_what_is_asked_of_the_levels_above(search: AttributeSearch) -> None:
    series = query("SERIES", StudyInstanceUID="1.1")
    keywords = ("SeriesInstanceUID", "Modality", "NumberOfSeriesRelatedInstances", "PatientName", "ModalitiesInStudy")
    assert found(search, series, *keywords) == [
        ("1.1.1", "CT", "2", "Doe^Jane", "CT\\PT"),
        ("1.1.2", "PT", "1", "Doe^Jane", "CT\\PT"),
    ]
    instances = query("IMAGE", StudyInstanceUID="1.1", SeriesInstanceUID="1.1.2")
    assert found(search, instances, "SOPClassUID", "Modality", "StudyDate", "Rows") == [
        ("1.2.840.10008.5.1.4.1.1.128", "PT", "20240301", "32")
    ]


def test_rows_come_in_pages_without_loss_or_repetition(
    search: AttributeSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog_search, "PAGE_ROWS", 2)
    assert [uid for (uid,) in found(search, query("STUDY"), "StudyInstanceUID")] == ["1.1", "1.2", "2.1", "3.1", "4.1"]


def test_more_rows_than_the_limit_are_said_to_be_more(catalog: Catalog) -> None:
    rows = AttributeSearch(catalog, DicomSettings(maximum_rows=2)).find(query("STUDY", StudyInstanceUID=""))
    assert [next(rows)["StudyInstanceUID"], next(rows)["StudyInstanceUID"]] == ["1.1", "1.2"]
    with pytest.raises(Unavailable, match="more than 2 matches"):
        next(rows)


def test_exactly_the_limit_is_a_whole_answer(catalog: Catalog) -> None:
    search = AttributeSearch(catalog, DicomSettings(maximum_rows=5))
    assert len(list(search.find(query("STUDY", StudyInstanceUID="")))) == 5


@pytest.mark.parametrize(
    ("asked", "tag"),
    [
        (query("STUDY", Model.PATIENT_ROOT), 0x00100020),
        (query("STUDY", Model.PATIENT_ROOT, PatientID="P*"), 0x00100020),
        (query("STUDY", Model.PATIENT_ROOT, PatientID="P1\\P2"), 0x00100020),
        (query("SERIES", PatientID="P1"), 0x0020000D),
        (query("SERIES", StudyInstanceUID="1.1\\1.2"), 0x0020000D),
        (query("SERIES", Model.PATIENT_ROOT, StudyInstanceUID="1.1"), 0x00100020),
        (query("IMAGE", StudyInstanceUID="1.1"), 0x0020000E),
        (query("IMAGE", StudyInstanceUID="1.1", SeriesInstanceUID="?"), 0x0020000E),
    ],
)
def test_unique_keys_above_the_level_must_name_one(asked: Query, tag: int) -> None:
    with pytest.raises(IdentifierMismatch) as caught:
        check_hierarchy(asked)
    assert caught.value.tag == tag


def test_the_patient_level_is_tolerated_in_the_study_root_model(search: AttributeSearch) -> None:
    assert found(search, query("PATIENT", PatientID="P2"), "PatientName") == [("Müller^Max",)]


def test_a_filter_gives_the_index_what_it_knows_and_resolves_the_rest(catalog: Catalog) -> None:
    search = AttributeSearch(catalog, DicomSettings())
    chosen = search.study_filter(
        {"PatientSex": "M", "StudyDate": "20240101-", "Modality": "MR\\CT", "ModalitiesInStudy": "MR", "PatientID": "*"}
    )
    assert chosen.conditions == (
        Condition("sex", "in", ("M",)),
        Condition("study_date", "range", ("20240101", "")),
        Condition("modality", "in", ("MR", "CT")),
    )
    assert chosen.studies == {"2.1"}
    studies = catalog.studies(["1.1", "2.1"])
    assert [chosen.passes(studies[uid]) for uid in ("1.1", "2.1")] == [False, True]


def test_a_filter_of_nothing_lets_everything_pass(catalog: Catalog) -> None:
    chosen = AttributeSearch(catalog, DicomSettings()).study_filter({"PatientID": "*"})
    assert (chosen.conditions, chosen.studies) == ((), None)
    assert chosen.passes(catalog.studies(["1.1"])["1.1"])


def test_wildcards_and_odd_ranges_are_left_to_the_catalog(catalog: Catalog) -> None:
    chosen = AttributeSearch(catalog, DicomSettings()).study_filter({"PatientSex": "?", "StudyDate": "2020-"})
    assert chosen.conditions == ()
    assert chosen.studies == {"2.1"}


def test_the_pieces_of_an_example_must_belong_together(search: AttributeSearch) -> None:
    assert search.holds({"StudyInstanceUID": "1.1", "SeriesInstanceUID": "1.1.2"})
    assert not search.holds({"StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.1.2"})
