"""Query, PS3.4 annex C: C-FIND at every level with every kind of matching, as DCMTK and pynetdicom ask."""

import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.tag import Tag
from pynetdicom.dimse_primitives import C_FIND

from tests.dcmtk import dcmtk, findscu
from tests.scp import EXPLICIT, IMPLICIT, PATIENT_ROOT, STUDY_ROOT, Scp, associated, exchange, find, identifier, serving

BIG_ENDIAN = "1.2.840.10008.1.2.2"


def fill(scp: Scp) -> None:
    store = scp.parts.store
    store("1.1", PatientName="Doe^Jane", StudyDate="20240301", StudyTime="101530", StudyDescription="100% _done_")
    store("1.1", PatientName="Doe^Jane", StudyDate="20240301", InstanceNumber="2", BodyPartExamined="CHEST")
    store("1.2", PatientName="Doe^Jane", StudyDate="20200101", StudyTime="1015", AccessionNumber="A2", PatientSex="F")
    store(
        "2.1", PatientName="Müller^Max", PatientID="P2", StudyDate="", Modality="MR", SpecificCharacterSet="ISO_IR 100"
    )
    store(
        "3.1", PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう", PatientID="P3", StudyTime="235959.999999",
        SpecificCharacterSet="ISO_IR 192", ReferringPhysicianName="O'Neil^A", AccessionNumber="",
    )  # fmt: skip


@pytest.fixture(scope="module")
def scp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scp]:
    with serving(tmp_path_factory.mktemp("scp") / "data") as scp:
        fill(scp)
        yield scp


def studies(rows: list[Dataset]) -> list[str]:
    return [str(row.StudyInstanceUID) for row in rows]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("PatientName", ["1.1", "1.2", "2.1", "3.1"]),
        ("PatientName=*", ["1.1", "1.2", "2.1", "3.1"]),
        ("PatientName=doe^jane", ["1.1", "1.2"]),
        ("PatientName=D?e^*", ["1.1", "1.2"]),
        ("ReferringPhysicianName=o'neil*", ["3.1"]),
        ("PatientID=p2", []),
        ("PatientID=P2", ["2.1"]),
        ("StudyDescription=100%*", ["1.1"]),
        ("StudyDescription=*%*", ["1.1"]),
        ("StudyDescription=100_*", []),
        ("StudyDate=20200101", ["1.2"]),
        ("StudyDate=20200101-20200102", ["1.2"]),
        ("StudyDate=-20200101", ["1.2"]),
        ("StudyDate=20240201-", ["1.1"]),
        ("StudyTime=1015", ["1.1", "1.2"]),
        ("StudyTime=101530-1016", ["1.1"]),
        ("StudyTime=-101500", ["1.2"]),
        ("StudyTime=2359-", ["3.1"]),
        ("StudyInstanceUID=1.2\\3.1\\7.7", ["1.2", "3.1"]),
        ("StudyInstanceUID=1.*", []),
        ("ModalitiesInStudy=MR", ["2.1"]),
        ("ModalitiesInStudy=MR\\PT", ["2.1"]),
        ("SOPClassesInStudy=1.2.840.10008.5.1.4.1.1.2", ["1.1", "1.2", "2.1", "3.1"]),
        ("PatientSex=F", ["1.2"]),
        ("AccessionNumber=A*", ["1.1", "1.2", "2.1"]),
    ],
)
def test_every_kind_of_matching(scp: Scp, key: str, expected: list[str]) -> None:
    keys = ["QueryRetrieveLevel=STUDY", "StudyInstanceUID", key]
    assert studies(findscu(scp.port, keys)) == expected


def test_patients(scp: Scp) -> None:
    keys = ["QueryRetrieveLevel=PATIENT", "PatientID=P1", "PatientName", "NumberOfPatientRelatedStudies"]
    (row,) = findscu(scp.port, keys, model="-P")
    assert (row.PatientName, row.NumberOfPatientRelatedStudies) == ("Doe^Jane", 2)
    assert (row.QueryRetrieveLevel, row.RetrieveAETitle, row.InstanceAvailability) == ("PATIENT", "DICOMNODE", "ONLINE")


def test_the_patient_level_is_tolerated_in_the_study_root_model(scp: Scp) -> None:
    assert len(findscu(scp.port, ["QueryRetrieveLevel=PATIENT", "PatientID"])) == 3


def test_studies_of_a_patient_in_the_patient_root_model(scp: Scp) -> None:
    keys = ["QueryRetrieveLevel=STUDY", "PatientID=P1", "StudyInstanceUID"]
    assert studies(findscu(scp.port, keys, model="-P")) == ["1.1", "1.2"]


def test_series_and_instances(scp: Scp) -> None:
    series = [
        "QueryRetrieveLevel=SERIES",
        "StudyInstanceUID=1.1",
        "SeriesInstanceUID",
        "NumberOfSeriesRelatedInstances",
    ]
    (row,) = findscu(scp.port, series)
    assert (row.SeriesInstanceUID, row.NumberOfSeriesRelatedInstances) == ("1.1.1", 2)
    image = ["QueryRetrieveLevel=IMAGE", "StudyInstanceUID=1.1", "SeriesInstanceUID=1.1.1", "InstanceNumber=2", "Rows"]
    (row,) = findscu(scp.port, [*image, "SOPInstanceUID"])
    assert (row.InstanceNumber, row.Rows) == (2, 32)


def test_a_key_comes_back_empty_when_the_stored_value_is(scp: Scp) -> None:
    (row,) = findscu(scp.port, ["QueryRetrieveLevel=STUDY", "StudyInstanceUID=2.1", "StudyDate", "StudyID"])
    assert [element.keyword for element in row] == [
        "StudyDate", "QueryRetrieveLevel", "RetrieveAETitle", "InstanceAvailability", "StudyInstanceUID", "StudyID",
    ]  # fmt: skip
    assert (row.StudyDate, row.StudyID) == ("", "")


@pytest.mark.parametrize(
    ("character_set", "asked", "answered"),
    [
        (None, "doe*", None),
        ("ISO_IR 100", "MÜLLER*", "ISO_IR 100"),
        ("ISO_IR 192", "müller*", "ISO_IR 192"),
        ("ISO_IR 192", "山田*", "ISO_IR 192"),
        (["", "ISO 2022 IR 87"], "=山田^太郎", "ISO_IR 192"),
        ("ISO_IR 100", "Yamada*", "ISO_IR 192"),
    ],
)
def test_names_are_found_and_answered_across_character_sets(
    scp: Scp, character_set: Any, asked: str, answered: str | None
) -> None:
    keys = identifier("STUDY", PatientName=asked, StudyInstanceUID="")
    if character_set is not None:
        keys.SpecificCharacterSet = character_set
    with associated(scp.port, [(STUDY_ROOT, [EXPLICIT])]) as association:
        rows, status = find(association, keys)
    assert status.Status == 0
    assert rows
    assert {row.get("SpecificCharacterSet") for row in rows} == {answered}
    names = {"Doe^Jane", "Müller^Max", "Yamada^Tarou=山田^太郎=やまだ^たろう"}
    assert {str(row.PatientName) for row in rows} <= names


@pytest.mark.parametrize("transfer_syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN])
def test_two_queries_in_a_row_on_one_association_in_each_transfer_syntax(scp: Scp, transfer_syntax: str) -> None:
    with associated(scp.port, [(STUDY_ROOT, [transfer_syntax])]) as association:
        for uid in ("1.1", "3.1"):
            rows, status = find(association, identifier("STUDY", StudyInstanceUID=uid, NumberOfStudyRelatedSeries=""))
            assert (studies(rows), status.Status) == ([uid], 0)


def test_an_unsupported_optional_key_is_left_out_and_said_so(scp: Scp) -> None:
    keys = identifier("STUDY", StudyInstanceUID="1.1", PixelSpacing="")
    with associated(scp.port, [(STUDY_ROOT, [EXPLICIT])]) as association:
        (status, row), (final, _) = association.send_c_find(keys, STUDY_ROOT)
    assert (status.Status, final.Status) == (0xFF01, 0x0000)
    assert row is not None
    assert "PixelSpacing" not in row


@pytest.mark.parametrize(
    ("model", "keys", "tag"),
    [
        (STUDY_ROOT, identifier(""), "QueryRetrieveLevel"),
        (STUDY_ROOT, identifier("FRAME"), "QueryRetrieveLevel"),
        (STUDY_ROOT, identifier("SERIES", SeriesInstanceUID=""), "StudyInstanceUID"),
        (STUDY_ROOT, identifier("SERIES", StudyInstanceUID="1.1\\1.2"), "StudyInstanceUID"),
        (STUDY_ROOT, identifier("IMAGE", StudyInstanceUID="1.1", SOPInstanceUID=""), "SeriesInstanceUID"),
        (PATIENT_ROOT, identifier("STUDY", StudyInstanceUID="1.1"), "PatientID"),
        (PATIENT_ROOT, identifier("STUDY", PatientID="P*"), "PatientID"),
    ],
)
def test_what_does_not_fit_the_model_is_refused_with_the_offending_element(
    scp: Scp, model: str, keys: Dataset, tag: str
) -> None:
    with associated(scp.port, [(model, [EXPLICIT])]) as association:
        rows, status = find(association, keys, model)
        assert (rows, status.Status, status.OffendingElement) == ([], 0xA900, Tag(tag))
        assert 0 < len(status.ErrorComment) <= 64
        assert find(association, identifier("PATIENT", PatientID="P1"), model)[1].Status == 0, "it goes on"


def test_a_query_cancelled_stops_and_says_so(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as scp:
        for number in range(120):
            scp.parts.store(f"5.{number}")
        # Our own answers wait in small windows: the peer takes one row at a time.
        with associated(scp.port, [(STUDY_ROOT, [EXPLICIT])]) as association:
            answers = association.send_c_find(identifier("STUDY", StudyInstanceUID=""), STUDY_ROOT, msg_id=7)
            assert next(answers)[0].Status == 0xFF00
            association.send_c_cancel(7, query_model=STUDY_ROOT)
            statuses = [status.Status for status, _ in answers]
            assert statuses[-1] == 0xFE00
            assert len(statuses) < 120
            # A cancel that comes too late is not held against the next query of the same message ID.
            association.send_c_cancel(7, query_model=STUDY_ROOT)
            again = list(association.send_c_find(identifier("STUDY", StudyInstanceUID="5.1"), STUDY_ROOT, msg_id=7))
            assert [status.Status for status, _ in again] == [0xFF00, 0x0000]


def test_findscu_cancels_after_five(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as scp:
        for number in range(300):
            scp.parts.store(f"5.{number}")
        result = dcmtk(
            "findscu", "-v", "-S", "--cancel", "5", "-aec", "DICOMNODE", "127.0.0.1", str(scp.port),
            "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID",
        )  # fmt: skip
    assert "Cancel" in result.stdout + result.stderr


def test_many_rows_on_many_associations_at_once(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as scp:
        for number in range(250):
            scp.parts.store(f"5.{number}")
        counts: list[int] = []

        def ask() -> None:
            with associated(scp.port, [(STUDY_ROOT, [EXPLICIT])]) as association:
                counts.append(len(find(association, identifier("STUDY", StudyInstanceUID=""))[0]))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert counts == [250] * 4


def test_more_rows_than_the_limit_end_in_a_failure_that_says_so(tmp_path: Path) -> None:
    with serving(tmp_path / "data", {"maximum_rows": 3}) as scp:
        for number in range(5):
            scp.parts.store(f"5.{number}")
        with associated(scp.port, [(STUDY_ROOT, [EXPLICIT])]) as association:
            rows, status = find(association, identifier("STUDY", StudyInstanceUID=""))
    assert (len(rows), status.Status) == (3, 0xA700)
    assert status.ErrorComment == "more than 3 matches: narrow the query"


def test_no_patient_data_in_the_log(scp: Scp, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    findscu(scp.port, ["QueryRetrieveLevel=STUDY", "PatientName=Doe*", "PatientID", "StudyInstanceUID"])
    with associated(scp.port, [(STUDY_ROOT, [EXPLICIT])]) as association:
        find(association, identifier("SERIES", PatientName="Doe^Secret", StudyInstanceUID=""))
    spoken = " ".join(record.getMessage() for record in caplog.records if not record.name.startswith("pynetdicom"))
    assert "Doe" not in spoken
    assert "P1" not in spoken


def test_unreadable_identifiers_are_refused(scp: Scp) -> None:
    request = C_FIND()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID = STUDY_ROOT
    request.Identifier = BytesIO(b"\x08\x00\x52\x00CS\xff\xff" + b"STUDY")
    with associated(scp.port, [(STUDY_ROOT, [EXPLICIT])]) as association:
        assert exchange(association, request).Status == 0xA900
