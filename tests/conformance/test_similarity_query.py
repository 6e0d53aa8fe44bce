"""The similarity query over plain C-FIND: doors B and C of the contract, asked by DCMTK and pynetdicom."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.tag import Tag

from dicom_node.similarity_block import CREATOR, Element
from tests.dcmtk import findscu
from tests.scp import EXPLICIT, IMPLICIT, PATIENT_ROOT, STUDY_ROOT, Scp, associated, find, identifier, serving

STUDY = ["QueryRetrieveLevel=STUDY", "StudyInstanceUID", "(0032,4000)", "PatientName"]


def at(cosine: float) -> tuple[float, ...]:
    """Return a vector at this cosine to the example's."""
    return (cosine, math.sqrt(1 - cosine * cosine), 0.0, 0.0)


@pytest.fixture(scope="module")
def scp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scp]:
    with serving(tmp_path_factory.mktemp("scp") / "data", similarity={"wait_for_example_s": 0.2}) as scp:
        add = scp.parts.add
        add("1.1", at(1.0), AccessionNumber="EX1", PatientID="P1", PatientSex="F", StudyDate="20240101")
        add("1.2", at(0.9), AccessionNumber="TWICE", PatientID="P1", StudyDescription="same patient")
        add("2.1", at(0.8), AccessionNumber="TWICE", PatientID="P2", PatientSex="M", StudyDate="20200101")
        add("3.1", at(0.6), AccessionNumber="A3", PatientID="P3", PatientSex="F", StudyDescription="Thorax")
        add("4.1", at(0.4), AccessionNumber="A34", PatientID="P4", PatientSex="M")
        scp.parts.store("4.1", AccessionNumber="A34", PatientID="P4", Modality="SR", SeriesInstanceUID="4.1.9")
        scp.parts.store("8.1", AccessionNumber="PENDING", PatientID="P8")
        report = scp.parts.store("9.1", AccessionNumber="REPORT", PatientID="P9", Modality="SR")
        scp.parts.catalog.settle({}, {report: "nothing to embed"})
        yield scp


def uids(rows: list[Dataset]) -> list[str]:
    return [str(row.StudyInstanceUID) for row in rows]


def ask(scp: Scp, called: str = "SIMILAR", model: str = STUDY_ROOT, **keys: Any) -> tuple[list[Dataset], Dataset]:
    keys.setdefault("StudyInstanceUID", "")
    with associated(scp.port, [(model, [EXPLICIT])], called) as association:
        return find(association, identifier("STUDY", **keys), model)


# Door B


@pytest.mark.parametrize("accession", ["EX1", "*EX1*", "EX1*"])
def test_an_accession_number_of_one_study_asks_for_similar_ones(scp: Scp, accession: str) -> None:
    rows = findscu(scp.port, [*STUDY, f"AccessionNumber={accession}"], called="SIMILAR")
    assert uids(rows) == ["1.1", "2.1", "3.1", "4.1"]
    assert [row.StudyComments for row in rows] == [
        "SIM #00 1.000 model",
        "SIM #01 0.800 model",
        "SIM #02 0.600 model",
        "SIM #03 0.400 model",
    ]
    assert {row.RetrieveAETitle for row in rows} == {"DICOMNODE"}


def test_asterisks_around_an_accession_number_do_not_widen_it(scp: Scp) -> None:
    rows = findscu(scp.port, [*STUDY, "AccessionNumber=*A3*"], called="SIMILAR")
    assert uids(rows)[0] == "3.1"
    assert len(rows) == 5


def test_an_accession_number_of_several_studies_lists_them(scp: Scp) -> None:
    rows = findscu(scp.port, [*STUDY, "AccessionNumber=*TWICE*"], called="SIMILAR")
    assert uids(rows) == ["1.2", "2.1"]
    assert [row.StudyComments for row in rows] == ["", ""]


def test_the_patient_id_beside_it_tells_which_of_several_is_meant(scp: Scp) -> None:
    rows = findscu(scp.port, [*STUDY, "AccessionNumber=TWICE", "PatientID=P2"], called="SIMILAR")
    assert uids(rows) == ["2.1", "1.2", "3.1", "4.1", "1.1"]


def test_an_accession_number_of_none_is_an_empty_answer(scp: Scp) -> None:
    assert findscu(scp.port, [*STUDY, "AccessionNumber=NONE"], called="SIMILAR") == []


def test_one_study_uid_asks_for_similar_ones_the_example_first(scp: Scp) -> None:
    rows = findscu(scp.port, [*STUDY[:1], "StudyInstanceUID=3.1"], called="SIMILAR")
    assert uids(rows) == ["3.1", "4.1", "2.1", "1.2", "1.1"]


def test_an_unknown_study_uid_is_an_empty_answer(scp: Scp) -> None:
    assert findscu(scp.port, [*STUDY[:1], "StudyInstanceUID=7.7.7"], called="SIMILAR") == []


def test_a_list_of_uids_is_ordinary(scp: Scp) -> None:
    assert uids(findscu(scp.port, [*STUDY[:1], "StudyInstanceUID=1.1\\3.1"], called="SIMILAR")) == ["1.1", "3.1"]


def test_a_patient_id_alone_lists_that_patients_studies(scp: Scp) -> None:
    assert uids(findscu(scp.port, [*STUDY, "PatientID=P1"], called="SIMILAR")) == ["1.1", "1.2"]


def test_without_a_trigger_the_query_is_ordinary(scp: Scp) -> None:
    assert uids(findscu(scp.port, [*STUDY, "PatientSex=M"], called="SIMILAR")) == ["2.1", "4.1"]


def test_at_the_archive_the_same_keys_are_ordinary(scp: Scp) -> None:
    rows = findscu(scp.port, [*STUDY, "AccessionNumber=EX1"])
    assert uids(rows) == ["1.1"]
    assert rows[0].StudyComments == ""


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("PatientSex=F", ["1.1", "3.1"]),
        ("PatientSex=M", ["2.1", "4.1"]),
        ("StudyDate=20240101-", ["1.1", "3.1", "4.1"]),
        ("StudyDate=-20201231", ["2.1"]),
        ("StudyDescription=*horax", ["3.1"]),
        ("ModalitiesInStudy=SR", ["4.1"]),
        ("ModalitiesInStudy=CT\\MR", ["1.1", "2.1", "3.1", "4.1"]),
        ("Modality=CT", ["1.1", "2.1", "3.1", "4.1"]),
        ("Modality=MR", []),
    ],
)
def test_filters_choose_among_the_candidates(scp: Scp, key: str, expected: list[str]) -> None:
    rows = findscu(scp.port, [*STUDY, "AccessionNumber=EX1", key], called="SIMILAR")
    assert uids(rows) == expected


def test_nine_rows_with_the_example_unless_told_otherwise(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as scp:
        for number in range(15):
            scp.parts.add(f"6.{number}", at(1 - number / 20), PatientID=f"Q{number}", AccessionNumber=f"N{number}")
        assert uids(findscu(scp.port, [*STUDY, "AccessionNumber=N0"], called="SIMILAR")) == [
            f"6.{number}" for number in range(9)
        ]


@pytest.mark.parametrize(
    ("accession", "status"),
    [("PENDING", 0xC001), ("REPORT", 0xC003)],
)
def test_an_example_that_has_no_vector(scp: Scp, accession: str, status: int) -> None:
    rows, answer = ask(scp, AccessionNumber=accession)
    assert (rows, answer.Status) == ([], status)
    assert 0 < len(answer.ErrorComment) <= 64


def test_drilling_down_into_a_hit_is_ordinary(scp: Scp) -> None:
    series = findscu(scp.port, ["QueryRetrieveLevel=SERIES", "StudyInstanceUID=2.1", "SeriesInstanceUID"], "SIMILAR")
    assert [row.SeriesInstanceUID for row in series] == ["2.1.1"]
    images = ["QueryRetrieveLevel=IMAGE", "StudyInstanceUID=2.1", "SeriesInstanceUID=2.1.1", "SOPInstanceUID"]
    assert len(findscu(scp.port, images, "SIMILAR")) == 1
    assert len(findscu(scp.port, ["QueryRetrieveLevel=PATIENT", "PatientID=P2"], "SIMILAR")) == 1


# Door C


def with_block(level: str = "STUDY", keys: dict[str, Any] | None = None, **values: object) -> Dataset:
    data_set = identifier(level, **({"StudyInstanceUID": ""} | (keys or {})))
    private = data_set.private_block(0x5349, CREATOR, create=True)
    for name, value in values.items():
        private.add_new(Element[name].offset, Element[name].vr, value)
    return data_set


def private(row: Dataset) -> dict[str, str]:
    names = {element.tag: element.name for element in Element}
    return {names[each.tag]: str(each.value) for each in row if each.tag in names}


@pytest.mark.parametrize("transfer_syntax", [IMPLICIT, EXPLICIT])
@pytest.mark.parametrize("called", ["DICOMNODE", "SIMILAR"])
def test_the_private_block_asks_at_either_ae_title(scp: Scp, called: str, transfer_syntax: str) -> None:
    asked = dict.fromkeys(
        [
            "SPACE", "RANK", "SCORE", "METRIC", "MATCHED_SERIES", "MATCHED_INSTANCE", "MATCHED_FRAME", "COMPLETENESS",
            "STUDIES_SEARCHED", "INDEX_DATETIME", "QUERY_IDENTIFIER",
        ]
    )  # fmt: skip
    with associated(scp.port, [(STUDY_ROOT, [transfer_syntax])], called) as association:
        rows, status = find(association, with_block(EXAMPLE_STUDY="1.1", MAXIMUM_MATCHES="3", **asked))
    assert (status.Status, uids(rows)) == (0, ["1.1", "2.1", "3.1"])
    answers = [private(row) for row in rows]
    assert len({answer.pop("QUERY_IDENTIFIER") for answer in answers}) == 1
    assert all(answer.pop("INDEX_DATETIME").endswith("+0000") for answer in answers)
    matched = answers[1].pop("MATCHED_INSTANCE")
    assert scp.parts.catalog.instances("sop_instance_uid", matched)[0].study_instance_uid == "2.1"
    assert answers[1] == {
        "EXAMPLE_STUDY": "1.1",
        "SPACE": "space",
        "RANK": "1",
        "SCORE": "0.800000",
        "METRIC": "COSINE",
        "MATCHED_SERIES": "2.1.1",
        "MATCHED_FRAME": "1",
        "COMPLETENESS": "COMPLETE",
        "STUDIES_SEARCHED": "3",
    }


def test_only_what_was_asked_of_the_block_comes_back(scp: Scp) -> None:
    with associated(scp.port, [(STUDY_ROOT, [EXPLICIT])]) as association:
        rows, _ = find(association, with_block(EXAMPLE_STUDY="1.1", RANK=None))
    assert [private(row) for row in rows[:2]] == [
        {"EXAMPLE_STUDY": "1.1", "RANK": "0"},
        {"EXAMPLE_STUDY": "1.1", "RANK": "1"},
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"EXAMPLE_STUDY": "1.1", "MINIMUM_SCORE": "0.5"}, ["1.1", "2.1", "3.1"]),
        ({"EXAMPLE_STUDY": "1.1", "SAME_PATIENT": "INCLUDE"}, ["1.1", "1.2", "2.1", "3.1", "4.1"]),
        ({"EXAMPLE_STUDY": "1.1", "SAME_PATIENT": "ONLY"}, ["1.1", "1.2"]),
        ({"EXAMPLE_SERIES": "1.1.1"}, ["1.1", "2.1", "3.1", "4.1"]),
        ({"EXAMPLE_SERIES": "1.1.1", "EXAMPLE_STUDY": "1.1"}, ["1.1", "2.1", "3.1", "4.1"]),
        ({"EXAMPLE_STUDY": "7.7.7"}, []),
    ],
)
def test_keys_of_the_block(scp: Scp, values: dict[str, str], expected: list[str]) -> None:
    with associated(scp.port, [(STUDY_ROOT, [EXPLICIT])]) as association:
        rows, status = find(association, with_block(**values))
    assert (uids(rows), status.Status) == (expected, 0)


def test_one_frame_of_one_instance_as_the_example(scp: Scp) -> None:
    (instance,) = scp.parts.catalog.instances("study_instance_uid", "1.1")
    keys = with_block(EXAMPLE_INSTANCE=instance.sop_instance_uid, EXAMPLE_FRAME="1")
    with associated(scp.port, [(STUDY_ROOT, [EXPLICIT])]) as association:
        rows, status = find(association, keys)
    assert (uids(rows), status.Status) == (["1.1", "2.1", "3.1", "4.1"], 0)


def test_standard_keys_filter_and_patient_root_keeps_its_hierarchy(scp: Scp) -> None:
    with associated(scp.port, [(STUDY_ROOT, [EXPLICIT])]) as association:
        keys = with_block(keys={"PatientID": "P[34]", "StudyDescription": "T*"}, EXAMPLE_STUDY="1.1")
        assert uids(find(association, keys)[0]) == []
        keys = with_block(keys={"PatientID": "P?", "StudyDescription": "T*"}, EXAMPLE_STUDY="1.1")
        assert uids(find(association, keys)[0]) == ["3.1"]
    with associated(scp.port, [(PATIENT_ROOT, [EXPLICIT])]) as association:
        keys = with_block(keys={"PatientID": "P2"}, EXAMPLE_STUDY="1.1")
        assert uids(find(association, keys, PATIENT_ROOT)[0]) == ["2.1"]
        assert find(association, with_block(EXAMPLE_STUDY="1.1"), PATIENT_ROOT)[1].Status == 0xA900


@pytest.mark.parametrize(
    ("level", "values", "status", "tag"),
    [
        ("STUDY", {"EXAMPLE_STUDY": "1.1", "SPACE": "unheard of"}, 0xC002, None),
        ("STUDY", {"EXAMPLE_STUDY": "9.1"}, 0xC003, None),
        ("STUDY", {"EXAMPLE_STUDY": "8.1"}, 0xC001, None),
        ("STUDY", {"EXAMPLE_STUDY": "2.1", "EXAMPLE_SERIES": "1.1.1"}, 0xA900, 0x53491002),
        ("STUDY", {"EXAMPLE_STUDY": "1.1", "MAXIMUM_MATCHES": "-1"}, 0xA900, 0x53491009),
        ("SERIES", {"EXAMPLE_STUDY": "1.1"}, 0xA900, 0x00080052),
    ],
)
def test_what_cannot_be_answered(scp: Scp, level: str, values: dict[str, str], status: int, tag: int | None) -> None:
    with associated(scp.port, [(STUDY_ROOT, [EXPLICIT])]) as association:
        rows, answer = find(
            association, with_block(level, {"StudyInstanceUID": "1.1" if level != "STUDY" else ""}, **values)
        )
    assert (rows, answer.Status) == ([], status)
    assert answer.get("OffendingElement") == (None if tag is None else Tag(tag))


def test_a_block_without_an_example_changes_nothing_at_the_archive(scp: Scp) -> None:
    with associated(scp.port, [(STUDY_ROOT, [EXPLICIT])]) as association:
        rows, _ = find(association, with_block(keys={"PatientID": "P1"}, RANK=None))
    assert uids(rows) == ["1.1", "1.2"]
    assert [private(row) for row in rows] == [{}, {}]


def test_door_b_answers_the_block_too(scp: Scp) -> None:
    with associated(scp.port, [(STUDY_ROOT, [EXPLICIT])], "SIMILAR") as association:
        rows, _ = find(association, with_block(keys={"AccessionNumber": "EX1"}, RANK=None, MAXIMUM_MATCHES="2"))
    assert [private(row) for row in rows] == [{"RANK": "0"}, {"RANK": "1"}]
