"""What a retrieve sends, PS3.4 C.4.2.3.1: the stored bytes where they are taken, else converted ones, never damaged."""

import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset

from dicom_node import metrics
from dicom_node.archive import Archive
from dicom_node.dimse import destinations
from dicom_node.dimse.scu import Peer, store
from dicom_node.part10 import Contents, read_contents
from tests.conformance.test_storage import FILES, bundled
from tests.dcmtk import PROPOSE, dcmtk, retrieve, storescp
from tests.dicom import ct
from tests.retrieving import Destination, counts, failed, get, move, moving
from tests.scp import CT, EXPLICIT, IMPLICIT, Scp, identifier, serving
from tests.servers import free_port

J2K, RLE, MR = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5", "1.2.840.10008.5.1.4.1.1.4"


def contents_of(path: Path) -> Contents:
    with path.open("rb") as file:
        return read_contents(file)


def data_set_of(path: Path) -> bytes:
    return path.read_bytes()[contents_of(path).data_set_offset :]


def send(scp: Scp, paths: Sequence[Path]) -> list[Path]:
    """Send files as they are; return the first that was accepted of each SOP Instance UID."""
    accepted = [sent.path for sent in store(Peer("127.0.0.1", scp.port, "DICOMNODE", "SCANNER"), paths) if sent.stored]
    first = {contents_of(path).sop_instance_uid: path for path in reversed(accepted)}
    return list(first.values())


def by_study(scp: Scp, paths: Sequence[Path]) -> dict[str, list[Path]]:
    """Return accepted files by the study that the catalog holds them in."""
    found: dict[str, list[Path]] = {}
    for path in paths:
        (record,) = scp.parts.catalog.instances("sop_instance_uid", contents_of(path).sop_instance_uid)
        found.setdefault(record.study_instance_uid, []).append(path)
    return found


def kinds(paths: Sequence[Path]) -> list[tuple[str, list[str]]]:
    """Return a presentation context for each SOP class and transfer syntax of the files."""
    contents = [contents_of(path) for path in paths]
    pairs = {(each.sop_class_uid, each.transfer_syntax_uid) for each in contents}
    return [(sop_class, [transfer_syntax]) for sop_class, transfer_syntax in sorted(pairs)]


def assert_got_back(scp: Scp, paths: Sequence[Path]) -> None:
    """Get each study in the syntaxes of its files: every byte is that of the file."""
    for study, files in by_study(scp, paths).items():
        taken = Destination(0)
        final = get(scp.port, identifier("STUDY", StudyInstanceUID=study), kinds(files), taken)[-1][0]
        assert (final.Status, final.NumberOfCompletedSuboperations) == (0x0000, len(files)), files
        assert {uid: len(data) for uid, data in taken.received.items()} == {
            contents_of(path).sop_instance_uid: len(data_set_of(path)) for path in files
        }
        different = [
            path.name for path in files if taken.received[contents_of(path).sop_instance_uid] != data_set_of(path)
        ]
        assert different == []


def assert_moved_back(scp: Scp, studies: dict[str, list[Path]], folder: Path) -> None:
    """Have studies moved to a DCMTK SCP that takes any syntax it knows: every byte is that of the file."""
    keys = ["QueryRetrieveLevel=STUDY", "StudyInstanceUID=" + "\\".join(studies)]
    result = retrieve("movescu", scp.port, keys, "-S", "-aem", "STATION")
    assert result.status == "Success", result.output
    received = {contents_of(path).sop_instance_uid: data_set_of(path) for path in folder.iterdir()}
    sent = {contents_of(path).sop_instance_uid: data_set_of(path) for files in studies.values() for path in files}
    assert set(received) == set(sent)
    assert [uid for uid in sent if received[uid] != sent[uid]] == []


@pytest.fixture
def scp(tmp_path: Path) -> Iterator[Scp]:
    with serving(tmp_path / "data") as scp:
        yield scp


def test_every_byte_of_the_bundled_files_comes_back(scp: Scp) -> None:
    accepted = send(scp, [bundled(name) for name in FILES])
    assert len(accepted) > 10
    assert_got_back(scp, accepted)


def test_every_byte_of_every_accepted_file_of_the_zoo_comes_back(shared_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "moved"
    folder.mkdir()
    with (
        storescp(folder, "+xa", "--promiscuous") as port,
        serving(tmp_path / "data", peers=[{"ae_title": "STATION", "host": "127.0.0.1", "port": port}]) as scp,
    ):
        accepted = send(scp, sorted((shared_data / "zoo").iterdir()))
        assert len(accepted) > 100
        assert_got_back(scp, accepted)
        known = {
            study: files
            for study, files in by_study(scp, accepted).items()
            if all(_is_for_dcmtk(path) for path in files)
        }
        assert len(known) > 50
        assert_moved_back(scp, known, folder)


def _is_for_dcmtk(path: Path) -> bool:
    """Whether DCMTK 3.6.7 takes it: it knows the syntax, and the length is even (over an odd one it aborts)."""
    return contents_of(path).transfer_syntax_uid in PROPOSE and len(data_set_of(path)) % 2 == 0


def received_data_set(taken: Destination, uid: str, target: str) -> Dataset:
    encoded = DicomBytesIO(taken.received[uid])
    data_set = read_dataset(encoded, target == IMPLICIT, True)
    data_set.file_meta = Dataset()
    data_set.file_meta.TransferSyntaxUID = target
    return data_set


@pytest.mark.parametrize("target", [EXPLICIT, IMPLICIT])
@pytest.mark.parametrize(
    "name",
    ["CT_small.dcm", "MR_small_bigendian.dcm", "image_dfl.dcm", "MR_small_RLE.dcm", "SC_rgb_small_odd_big_endian.dcm"],
)
def test_what_is_not_taken_as_it_was_stored_is_converted(tmp_path: Path, name: str, target: str) -> None:
    path = bundled(name)
    original = dcmread(path)
    with moving(tmp_path, [(original.SOPClassUID, [target])]) as (scp, taken):
        send(scp, [path])
        responses = move(scp.port, identifier("STUDY", StudyInstanceUID=original.StudyInstanceUID))
        assert list(scp.parts.settings.archive_dir.glob("incoming/*/*")) == []
    assert responses[-1][0].Status == 0x0000
    assert taken.syntaxes == {original.SOPInstanceUID: target}
    converted = received_data_set(taken, original.SOPInstanceUID, target)
    assert (converted.pixel_array == original.pixel_array).all()
    assert converted.SOPInstanceUID == original.SOPInstanceUID
    assert converted.PatientName == original.PatientName


def test_what_can_be_sent_in_no_accepted_syntax_fails_alone(tmp_path: Path) -> None:
    paths = [bundled("JPEG2000.dcm"), bundled("CT_small.dcm")]
    uids = [dcmread(path).SOPInstanceUID for path in paths]
    sop_classes = [dcmread(path).SOPClassUID for path in paths]
    studies = [dcmread(path).StudyInstanceUID for path in paths]
    with moving(tmp_path, [(uid, [IMPLICIT]) for uid in sop_classes]) as (scp, taken):
        send(scp, paths)
        answer, identifiers = move(scp.port, identifier("STUDY", StudyInstanceUID=studies))[-1]
    assert (answer.Status, counts(answer)) == (0xB000, [None, 1, 1, 0])
    assert failed(identifiers) == [uids[0]]
    assert set(taken.received) == {uids[1]}


def test_a_sop_class_that_is_not_taken_fails_alone(tmp_path: Path) -> None:
    with moving(tmp_path, [(CT, [EXPLICIT])]) as (scp, taken):
        taken_uid = scp.parts.store("1.1")
        mr = ct(SOPClassUID=MR, StudyInstanceUID="1.1")
        path = tmp_path / "mr.dcm"
        mr.save_as(path, implicit_vr=False, little_endian=True)
        send(scp, [path])
        answer, identifiers = move(scp.port, identifier("STUDY", StudyInstanceUID="1.1"))[-1]
    assert (answer.Status, counts(answer)) == (0xB000, [None, 1, 1, 0])
    assert failed(identifiers) == [mr.SOPInstanceUID]
    assert set(taken.received) == {taken_uid}


def test_more_kinds_than_one_association_can_propose_are_all_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destinations, "KINDS_PER_ASSOCIATION", 1)
    paths = [bundled(name) for name in ("CT_small.dcm", "MR_small_implicit.dcm", "MR_small_padded.dcm")]
    with moving(tmp_path, kinds(paths)) as (scp, taken):
        studies = by_study(scp, send(scp, paths))
        final, _ = move(scp.port, identifier("STUDY", StudyInstanceUID=list(studies)))[-1]
    assert final.Status == 0x0000
    files = [path for of_study in studies.values() for path in of_study]
    assert taken.received == {contents_of(path).sop_instance_uid: data_set_of(path) for path in files}
    assert len({contents_of(path).sop_class_uid for path in files}) == 2


@pytest.mark.parametrize("damage", ["flipped", "cut off", "gone"])
def test_a_damaged_file_is_not_sent_and_counted(tmp_path: Path, damage: str) -> None:
    with moving(tmp_path, [(CT, [EXPLICIT])]) as (scp, taken):
        uid, other = (scp.parts.store("1.1") for _ in range(2))
        (record,) = scp.parts.catalog.instances("sop_instance_uid", uid)
        path = Archive(scp.parts.settings.archive_dir).path(record.file_key)
        kept = bytearray(path.read_bytes())
        kept[-100] ^= 1
        if damage == "gone":
            path.unlink()
        else:
            path.write_bytes(kept if damage == "flipped" else kept[:100])
        before = damaged()
        answer, identifiers = move(scp.port, identifier("STUDY", StudyInstanceUID="1.1"))[-1]
    assert (answer.Status, counts(answer)) == (0xB000, [None, 1, 1, 0])
    assert failed(identifiers) == [uid]
    assert set(taken.received) == {other}
    assert damaged() == before + 1


def damaged() -> float:
    return float(metrics.SUBOPERATIONS.labels("damaged")._value.get())


def test_memory_does_not_grow_with_the_object(tmp_path: Path) -> None:
    port = free_port()
    big = ct(StudyInstanceUID="1.1", Rows=4000, Columns=4000, PixelData=bytes(2 * 4000 * 4000))
    path = tmp_path / "big.dcm"
    big.save_as(path, implicit_vr=False, little_endian=True)
    with serving(tmp_path / "data", peers=[{"ae_title": "STATION", "host": "127.0.0.1", "port": port}]) as scp:
        assert dcmtk("storescu", "-aec", "DICOMNODE", "127.0.0.1", str(scp.port), str(path)).returncode == 0
        keys = ["QueryRetrieveLevel=STUDY", "StudyInstanceUID=1.1"]
        for tool, options in (("getscu", []), ("movescu", ["-aem", "STATION", "+P", str(port)])):
            tracemalloc.start()
            try:
                result = retrieve(tool, scp.port, keys, "-S", "-od", str(tmp_path), *options)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            assert result.status == "Success", result.output
            assert peak < 8 << 20
