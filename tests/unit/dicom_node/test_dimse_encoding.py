"""Identifiers to bytes: the short way writes what pydicom writes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from dicom_node.dimse.encoding import _encode_any, _encode_plain, decode, encode

EXPLICIT, IMPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
TEXT = st.text(" ^AZ09=.", max_size=9)
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "PatientName": TEXT | st.just("Müller^Jörg"),
        "PatientID": TEXT,
        "StudyInstanceUID": st.sampled_from(["", "1.2", "1.2.3"]) | st.just(["1.2", "1.2.3"]),
        "ModalitiesInStudy": st.lists(st.sampled_from(["CT", "MR", "X"]), max_size=3),
        "SeriesNumber": st.sampled_from(["", "7", "12"]),
        "PatientSize": st.sampled_from(["", "1.8", "1.75"]),
        "Rows": st.integers(0, 65535),
        "StudyComments": TEXT,
        "SpecificCharacterSet": st.just("ISO_IR 192"),
        "StudyDate": st.sampled_from(["", "20240131"]),
    },
)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
@given(values=VALUES)
def test_encoded_as_by_pydicom(syntax: str, values: dict[str, Any]) -> None:
    data_set = Dataset()
    data_set.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in values.items():
        setattr(data_set, keyword, value)
    assert encode(data_set, syntax) == _encode_any(data_set, syntax)


def test_the_commonest_elements_go_the_short_way() -> None:
    data_set = Dataset()
    data_set.PatientName, data_set.StudyInstanceUID, data_set.SeriesNumber = "Doe^Jane", "1.2", "7"
    data_set.ModalitiesInStudy, data_set.Rows = ["CT", "MR"], 512
    assert [_encode_plain(element, False) for element in data_set] == [
        b"\x08\0\x61\0CS\x06\0CT\\MR ",
        b"\x10\0\x10\0PN\x08\0Doe^Jane",
        b"\x20\0\x0d\0UI\x04\x001.2\0",
        b"\x20\0\x11\0IS\x02\x007 ",
        None,
    ]
    assert decode(encode(data_set, IMPLICIT), IMPLICIT) == data_set
