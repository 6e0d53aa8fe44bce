"""What the node reads from a data set: bounded, tolerant of damage, strict about UIDs."""

import time
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_node.errors import Rejected
from dicom_node.instance import _plain_text, encode_file_meta, header_of, is_uid, patient_key, read_header
from tests.dicom import ct, encoded

LIMIT = 1 << 20


@pytest.mark.parametrize("uid", ["1", "1.2.840.10008.1.1", "2.25.0", "1.02.3", "1." + "2" * 62])
def test_uids(uid: str) -> None:
    assert is_uid(uid)


@pytest.mark.parametrize(
    "text", ["", ".", "1.", ".1", "1..2", "1.2/../3", "../../tmp/x", "1.2\n", "1.2\0", "1.٣", "1.2 ", "1." + "2" * 63]
)
def test_no_uids(text: str) -> None:
    assert not is_uid(text)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, "1.2.840.10008.1.2.2"])
def test_the_header_is_read_in_every_encoding(tmp_path: Path, syntax: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(
        b"12345"
        + encoded(ct(SOPInstanceUID="1.2.3", PatientName="Müller^Jörg", SpecificCharacterSet="ISO_IR 100"), syntax)
    )
    header = read_header(path, 5, syntax, LIMIT)
    assert header.instance["sop_instance_uid"] == "1.2.3"
    assert header.study["patient_name"] == "Müller^Jörg"
    assert header.series["modality"] == "CT"
    assert header.instance["rows"] == "32"


def test_several_values_are_joined_by_a_backslash() -> None:
    assert header_of(ct(ImageType=["ORIGINAL", "PRIMARY"]), "1.2").instance["image_type"] == "ORIGINAL\\PRIMARY"


@given(
    st.sampled_from(["PatientID", "PatientName", "SeriesNumber", "PatientWeight", "StudyDate", "ImageType", "Rows"]),
    st.text("0123456789 AZ^=\\~.+-\x1b\0ä", max_size=12).map(lambda text: text.encode("latin-1")),
)
def test_plain_values_read_as_pydicom_reads_them(keyword: str, value: bytes) -> None:
    tag, vr = tag_for_keyword(keyword), dictionary_VR(keyword)
    assert tag is not None
    raw = RawDataElement(BaseTag(tag), vr, len(value), value, 0, False, True)
    plain = _plain_text(raw, vr)
    if plain is not None:
        data_set = Dataset({BaseTag(tag): raw})
        assert plain == str(data_set[keyword].value).replace("\0", "").strip(" ")


@pytest.mark.parametrize(
    ("vr", "value", "text"), [("PN", b"Doe^Jane", "Doe^Jane"), ("IS", b"7 ", "7"), ("US", b"\0\2", "512")]
)
def test_the_commonest_values_are_plain(vr: str, value: bytes, text: str) -> None:
    assert _plain_text(RawDataElement(BaseTag(0x00100010), vr, len(value), value, 0, False, True), vr) == text


def test_a_deflated_bomb_is_inflated_only_to_the_limit(tmp_path: Path) -> None:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    head = encoded(ct())
    bomb = deflater.compress(head) + deflater.compress(bytes(1 << 28)) + deflater.flush()
    path = tmp_path / "x"
    path.write_bytes(bomb)
    started = time.monotonic()
    assert read_header(path, 0, DeflatedExplicitVRLittleEndian, LIMIT).series["modality"] == "CT"
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"])
def test_without_its_uids_a_data_set_is_rejected_by_name(keyword: str) -> None:
    data_set = ct()
    delattr(data_set, keyword)
    with pytest.raises(Rejected, match="is absent or not a UID"):
        header_of(data_set, "1.2")


def test_deep_nesting_is_rejected_and_not_a_crash(tmp_path: Path) -> None:
    depth = 2000
    nested = b"\x08\x00\x40\x11SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * depth
    path = tmp_path / "x"
    path.write_bytes(nested)
    with pytest.raises(Rejected):
        read_header(path, 0, ExplicitVRLittleEndian, LIMIT)


def test_an_error_names_no_value(tmp_path: Path) -> None:
    with pytest.raises(Rejected) as caught:
        header_of(ct(StudyInstanceUID="Secret^Name"), "1.2")
    assert "Secret" not in str(caught.value)


def test_the_file_meta_information_is_readable_and_ours(tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    meta = encode_file_meta("1.2.840.10008.5.1.4.1.1.2", "1.2.3", ExplicitVRLittleEndian, "SCANNER")
    path.write_bytes(bytes(128) + b"DICM" + meta + encoded(ct(SOPInstanceUID="1.2.3")))
    data_set = dcmread(path)
    assert data_set.file_meta.MediaStorageSOPInstanceUID == "1.2.3"
    assert data_set.file_meta.ImplementationVersionName == "DICOM_NODE_0_1"
    assert data_set.file_meta.SourceApplicationEntityTitle == "SCANNER"
    assert data_set.PatientID == "P1"


def test_patients_are_told_apart_by_id_and_issuer_and_nobody_is_no_patient() -> None:
    assert patient_key("P1", "") == patient_key("P1", "")
    assert patient_key("P1", "A") != patient_key("P1", "B")
    assert patient_key("", "A") == ""
    assert "P1" not in patient_key("P1", "A")


def test_every_file_of_the_zoo_is_read_or_rejected(shared_data: Path) -> None:
    from pydicom.filereader import _read_file_meta_info, read_preamble

    read = 0
    for path in sorted((shared_data / "zoo").glob("*.dcm")):
        with path.open("rb") as file:
            try:
                read_preamble(file, force=True)
                meta = _read_file_meta_info(file)
            except Exception:
                continue
            offset = file.tell()
        try:
            read_header(path, offset, str(meta.get("TransferSyntaxUID", ImplicitVRLittleEndian)), LIMIT)
            read += 1
        except Rejected:
            continue
    assert read >= 140
