"""Storage, PS3.4 annex B: what is acknowledged is kept byte by byte, what is refused leaves nothing."""

import resource
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.filereader import read_file_meta_info
from pynetdicom import _config
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE

from dicom_node.ingest import Ingest
from tests.dcmtk import dcmtk, storescu
from tests.dicom import ct, encoded, new_uid
from tests.scp import CT, EXPLICIT, IMPLICIT, Scp, associated, exchange, serving, store_request
from tests.servers import wait_for

FILES = [
    "CT_small.dcm",
    "MR_small_implicit.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_padded.dcm",
    "image_dfl.dcm",
    "JPEG2000.dcm",
    "JPEG-lossy.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "MR_small_RLE.dcm",
    "SC_rgb_small_odd_big_endian.dcm",
    "liver_1frame.dcm",
    "rtdose_rle_1frame.dcm",
    "test-SR.dcm",
    "reportsi.dcm",
    "waveform_ecg.dcm",
    "examples_palette.dcm",
]


def bundled(name: str) -> Path:
    """Return a file that comes with pydicom."""
    path = get_testdata_file(name, download=False)
    assert path, name
    return Path(str(path))


@pytest.fixture
def scp(tmp_path: Path) -> Iterator[Scp]:
    with serving(tmp_path / "data") as scp:
        yield scp


def data_set_of(path: Path) -> bytes:
    length = read_file_meta_info(path).FileMetaInformationGroupLength
    return path.read_bytes()[132 + 12 + length :]


@pytest.mark.parametrize("name", FILES)
def test_every_byte_of_a_data_set_is_kept(scp: Scp, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)  # else the sender would encode it anew
    sent = bundled(name)
    meta = read_file_meta_info(sent)
    with associated(scp.port, [(meta.MediaStorageSOPClassUID, [meta.TransferSyntaxUID])]) as association:
        assert association.send_c_store(sent).Status == 0x0000
    (kept,) = scp.files
    assert data_set_of(kept) == data_set_of(sent)
    assert kept.read_bytes()[:132] == bytes(128) + b"DICM"
    written = read_file_meta_info(kept)
    assert written.TransferSyntaxUID == meta.TransferSyntaxUID
    assert written.ImplementationVersionName == "DICOM_NODE_0_1"
    assert written.SourceApplicationEntityTitle == "WORKSTATION"
    assert scp.parts.catalog.counts().pending == 1


def test_dcmtk_stores_in_many_transfer_syntaxes(scp: Scp) -> None:
    names = ["CT_small.dcm", "MR_small_bigendian.dcm", "image_dfl.dcm", "JPEG2000.dcm", "MR_small_RLE.dcm"]
    files = [bundled(name) for name in names]
    assert storescu(scp.port, files) == ["Success"] * 5
    assert scp.parts.catalog.counts().stored == len({dcmread(path).SOPInstanceUID for path in files})


def send(association: Association, data_set: Dataset, **claimed: str) -> C_STORE:
    """Send a data set; `claimed` replaces what the command says of it."""
    request = store_request(
        encoded(data_set, association.accepted_contexts[0].transfer_syntax[0]),
        claimed.get("sop_class_uid", data_set.SOPClassUID),
        claimed.get("sop_instance_uid", data_set.SOPInstanceUID),
    )
    response = exchange(association, request)
    assert isinstance(response, C_STORE)
    return response


def test_a_duplicate_is_a_success_and_nothing_new(scp: Scp) -> None:
    data_set = ct()
    with associated(scp.port, [(CT, [EXPLICIT])]) as association:
        assert [send(association, data_set).Status for _ in range(3)] == [0, 0, 0]
    assert len(scp.files) == 1
    assert (scp.parts.catalog.counts().stored, scp.parts.catalog.counts().other_versions) == (1, 0)


def test_other_bytes_under_the_same_uid_are_kept_beside_the_first(scp: Scp) -> None:
    uid = new_uid()
    with associated(scp.port, [(CT, [EXPLICIT])]) as association:
        assert send(association, ct(SOPInstanceUID=uid)).Status == 0
        assert send(association, ct(SOPInstanceUID=uid, PatientName="Other^Name")).Status == 0
    assert len(scp.files) == 2
    assert (scp.parts.catalog.counts().stored, scp.parts.catalog.counts().other_versions) == (1, 1)


@pytest.mark.parametrize(
    ("elements", "claimed", "status"),
    [
        ({}, {"sop_instance_uid": "1.2.3.4"}, 0xC000),
        ({}, {"sop_instance_uid": "../../../../etc/passwd"}, 0x0117),
        ({}, {"sop_instance_uid": "1.2.3/4"}, 0x0117),
        ({}, {"sop_class_uid": "1.2.840.10008.5.1.4.1.1.4"}, 0xA900),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}, {"sop_class_uid": CT}, 0xA900),
        ({"StudyInstanceUID": "../x"}, {}, 0xC000),
        ({"StudyInstanceUID": ""}, {}, 0xC000),
    ],
)
def test_what_is_refused_has_a_status_that_fits_and_leaves_nothing(
    scp: Scp, elements: dict[str, str], claimed: dict[str, str], status: int
) -> None:
    with associated(scp.port, [(CT, [EXPLICIT])]) as association:
        answer = send(association, ct(**elements), **claimed)
        assert answer.Status == status
        assert 0 < len(str(answer.ErrorComment)) <= 64
        assert scp.files == []
        assert send(association, ct()).Status == 0, "the association goes on"
    assert len(scp.files) == 1


@pytest.mark.parametrize("data", [b"\x08\x00\x05\x00ZZ\x10\x00" + b"\xff" * 50, b""], ids=["garbage", "nothing"])
def test_what_is_no_data_set_is_refused(scp: Scp, data: bytes) -> None:
    with associated(scp.port, [(CT, [EXPLICIT])]) as association:
        assert exchange(association, store_request(data, CT, "1.2.3")).Status == 0xC000
    assert scp.files == []


@contextmanager
def no_file_longer_than(size_bytes: int) -> Iterator[None]:
    """Have the kernel fail this process's writes beyond a length (EFBIG), as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_fails_refuses_that_object_and_the_next_is_taken(scp: Scp) -> None:
    big = ct(Rows=1500, Columns=1500, PixelData=bytes(2 * 1500 * 1500))
    with associated(scp.port, [(CT, [EXPLICIT])]) as association:
        with no_file_longer_than(1 << 20):
            answer = send(association, big)
        assert (answer.Status, answer.ErrorComment) == (0xA700, "the archive could not write: File too large")
        assert scp.files == []
        assert send(association, big).Status == 0
    assert len(scp.files) == 1


def test_a_private_sop_class_is_kept(scp: Scp) -> None:
    private = "1.3.12.2.1107.5.9.1"
    with associated(scp.port, [(private, [IMPLICIT])]) as association:
        assert send(association, ct(SOPClassUID=private)).Status == 0
    assert len(scp.files) == 1


@pytest.mark.parametrize("how", ["abort", "close"])
def test_an_object_cut_off_in_the_middle_leaves_nothing(scp: Scp, how: str) -> None:
    big = ct(Rows=2000, Columns=2000, PixelData=bytes(2 * 2000 * 2000))
    message = C_STORE_RQ()
    message.primitive_to_message(store_request(encoded(big), CT, big.SOPInstanceUID))
    pieces = list(message.encode_msg(1, 16_382))
    with associated(scp.port, [(CT, [EXPLICIT])]) as association:
        for piece in pieces[: len(pieces) // 2]:
            association.dul.send_pdu(piece)
        wait_for(lambda: any(path.stat().st_size > 1 << 20 for path in scp.files), "the object arriving")
        if how == "abort":
            association.abort()
        else:
            assert association.dul.socket is not None
            association.dul.socket.close()
    wait_for(lambda: scp.files == [], "the unfinished object gone")
    assert scp.parts.catalog.counts().stored == 0
    with associated(scp.port, [(CT, [EXPLICIT])]) as association:
        assert send(association, ct()).Status == 0


def test_memory_does_not_grow_with_the_object(scp: Scp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "big.dcm"
    big = ct(Rows=4000, Columns=4000, PixelData=bytes(2 * 4000 * 4000))
    big.save_as(path, implicit_vr=False, little_endian=True)
    del big
    peaks: list[int] = []
    keep = Ingest.keep

    def measured(ingest: Ingest, spool: object, claimed: object) -> object:
        peaks.append(tracemalloc.get_traced_memory()[1])
        return keep(ingest, spool, claimed)  # type: ignore[arg-type]

    monkeypatch.setattr(Ingest, "keep", measured)
    tracemalloc.start()
    try:
        result = dcmtk("storescu", "-aec", "DICOMNODE", "127.0.0.1", str(scp.port), str(path))
    finally:
        tracemalloc.stop()
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(peaks) == 1
    assert peaks[0] < 4 << 20
