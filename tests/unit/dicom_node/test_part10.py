"""Files as others wrote them: what they hold, and where their data sets start."""

from io import BytesIO
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from dicom_node.errors import Rejected
from dicom_node.part10 import Contents, NotAnInstance, read_contents

RT_ION_PLAN = "1.2.840.10008.5.1.4.1.1.481.8"


def bundled(name: str) -> bytes:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    return Path(path).read_bytes()


@pytest.mark.parametrize(
    ("name", "syntax"),
    [
        ("ExplVR_BigEndNoMeta.dcm", "1.2.840.10008.1.2.2"),
        ("ExplVR_LitEndNoMeta.dcm", "1.2.840.10008.1.2.1"),
    ],
)
def test_a_bare_data_set_is_recognised_by_its_first_element(name: str, syntax: str) -> None:
    contents = read_contents(BytesIO(bundled(name)))
    assert contents == Contents(RT_ION_PLAN, "1.2.333.4444.5.6.7.8", syntax, 0, False)


def test_a_part_10_file_says_what_it_holds() -> None:
    assert read_contents(BytesIO(bundled("CT_small.dcm"))) == Contents(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        sop_instance_uid="1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        data_set_offset=336,
        has_meta=True,
    )


def test_a_deflated_data_set_is_inflated_as_far_as_needed() -> None:
    contents = read_contents(BytesIO(bundled("image_dfl.dcm")))
    assert contents.transfer_syntax_uid == "1.2.840.10008.1.2.1.99"
    assert contents.sop_class_uid == "1.2.840.10008.5.1.4.1.1.7"


@pytest.mark.parametrize(
    "data",
    [b"", b"DICM", bytes(200), b"\x08\x00 a text that begins like a data set", b"GIF89a" + bytes(200)],
)
def test_what_is_no_dicom_file_holds_no_instance(data: bytes) -> None:
    with pytest.raises(NotAnInstance, match="not a DICOM file"):
        read_contents(BytesIO(data))


def test_a_dicomdir_holds_no_instance() -> None:
    with pytest.raises(NotAnInstance, match="a DICOMDIR"):
        read_contents(BytesIO(bundled("dicomdirtests/DICOMDIR")))


@pytest.mark.parametrize("length", [132, 140, 200, 336, 350, 400])
def test_a_cut_off_file_is_rejected(length: int) -> None:
    with pytest.raises(Rejected):
        read_contents(BytesIO(bundled("CT_small.dcm")[:length]))


def test_a_deflated_data_set_that_is_damaged_is_rejected() -> None:
    data = bundled("image_dfl.dcm")
    start = read_contents(BytesIO(data)).data_set_offset
    with pytest.raises(Rejected, match="the header cannot be read"):
        read_contents(BytesIO(data[:start] + b"\xff" * 100))
