"""Query keys as one types them."""

import pytest

from dicom_node.errors import Rejected
from dicom_node.query_keys import make_identifier


def test_keys_become_elements_in_order_of_their_tags() -> None:
    identifier = make_identifier(["PatientName=DOE*", "0008,0050", "(0020,000D)=1.2"])
    assert [(element.keyword, element.VR, element.value) for element in identifier] == [
        ("AccessionNumber", "SH", ""),
        ("QueryRetrieveLevel", "CS", "STUDY"),
        ("PatientName", "PN", "DOE*"),
        ("StudyInstanceUID", "UI", "1.2"),
    ]


def test_a_named_level_stays() -> None:
    assert make_identifier(["QueryRetrieveLevel=SERIES"]).QueryRetrieveLevel == "SERIES"


def test_a_value_may_hold_equal_signs() -> None:
    assert make_identifier(["StudyDescription=a=b"]).StudyDescription == "a=b"


def test_text_beyond_ascii_says_its_character_set() -> None:
    assert make_identifier(["PatientName=Müller*"]).SpecificCharacterSet == "ISO_IR 192"
    assert "SpecificCharacterSet" not in make_identifier(["PatientName=Muller*"])


def test_a_private_key_is_encoded_as_its_block_says() -> None:
    identifier = make_identifier(
        ["5349,1001=1.2.3", "5349,0010=SOMEBODY ELSE", "0009,1010=x", "0009,0010=GEMS_IDEN_01"]
    )
    assert [(str(element.tag), element.VR) for element in identifier if element.tag.is_private] == [
        ("(0009,0010)", "LO"),
        ("(0009,1010)", "LO"),
        ("(5349,0010)", "LO"),
        ("(5349,1001)", "LO"),
    ]


@pytest.mark.parametrize("key", ["Nonsense=1", "=1", "0008", "12345,1234", ""])
def test_what_is_no_key_is_rejected(key: str) -> None:
    with pytest.raises(Rejected, match="no DICOM keyword or tag"):
        make_identifier([key])


def test_a_value_that_cannot_be_is_rejected() -> None:
    with pytest.raises(Rejected, match=r"no value of VR IS for \(0020,1208\)"):
        make_identifier(["NumberOfStudyRelatedInstances=many"])
