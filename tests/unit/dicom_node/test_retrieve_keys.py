"""The Identifiers of C-MOVE and C-GET, PS3.4 C.4.2.2.1 (real requests are in tests/conformance/test_retrieve.py)."""

import pytest
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from dicom_node.attributes import QueryLevel
from dicom_node.errors import IdentifierMismatch, Unavailable
from dicom_node.identifier import Model
from dicom_node.retrieve_keys import parse
from tests.scp import identifier


def test_unique_keys_from_the_top_down_are_taken_and_nothing_else() -> None:
    keys = identifier(
        "SERIES", PatientID="P1", StudyInstanceUID="1.1", SeriesInstanceUID=["1.2", "1.3"], Modality="CT",
        SOPInstanceUID="",
    )  # fmt: skip
    of_study_root = parse(keys, Model.STUDY_ROOT)
    assert of_study_root.level is QueryLevel.SERIES
    assert of_study_root.keys == {"StudyInstanceUID": "1.1", "SeriesInstanceUID": "1.2\\1.3"}
    assert parse(keys, Model.PATIENT_ROOT).keys == {"PatientID": "P1", **of_study_root.keys}


def test_the_patient_level_is_answered_in_both_models() -> None:
    keys = identifier("PATIENT", PatientID="P1")
    assert [parse(keys, model).keys for model in Model] == [{"PatientID": "P1"}, {"PatientID": "P1"}]


@pytest.mark.parametrize("listed", ["1.1\\\\1.2", "1.1\\", "1.1\\x", "1.1\\*"])
def test_a_list_holds_uids_alone(listed: str) -> None:
    with pytest.raises(IdentifierMismatch, match="StudyInstanceUID must name what is wanted"):
        parse(identifier("STUDY", StudyInstanceUID=listed), Model.STUDY_ROOT)


def test_two_patients_are_not_one() -> None:
    with pytest.raises(IdentifierMismatch, match="PatientID must name"):
        parse(identifier("PATIENT", PatientID=["P1", "P2"]), Model.PATIENT_ROOT)


def test_a_list_longer_than_is_looked_up_at_once_is_out_of_resources() -> None:
    keys = identifier("STUDY", StudyInstanceUID=[f"1.{number}" for number in range(10_000)])
    assert len(parse(keys, Model.STUDY_ROOT).keys["StudyInstanceUID"].split("\\")) == 10_000
    keys.StudyInstanceUID = [*keys.StudyInstanceUID, "2.1"]
    with pytest.raises(Unavailable, match="more than 10000 UIDs"):
        parse(keys, Model.STUDY_ROOT)


def test_a_damaged_value_names_its_element() -> None:
    keys = identifier("STUDY")
    tag = Tag("StudyInstanceUID")
    keys[tag] = RawDataElement(tag, "US", 3, b"abc", 0, False, True)
    with pytest.raises(IdentifierMismatch, match="cannot be read") as caught:
        parse(keys, Model.STUDY_ROOT)
    assert caught.value.tag == 0x0020000D
