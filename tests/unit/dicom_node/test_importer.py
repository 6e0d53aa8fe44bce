"""Importing what lies on disks: what is found, what is kept, what is refused, and that a second run is quick."""

import shutil
import stat
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from dicom_node import import_sources
from dicom_node.catalog.models import Queue
from dicom_node.errors import Unavailable
from dicom_node.import_journal import Journal
from dicom_node.import_sources import Candidate, Refusal
from dicom_node.importer import Importer, Report, Result
from tests.filled import Filled, filled


def bundled(name: str) -> Path:
    """A file that comes with pydicom."""
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    return Path(path)


CT, MR, DEFLATED = bundled("CT_small.dcm"), bundled("MR_small.dcm"), bundled("image_dfl.dcm")
CT_UID = "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Filled]:
    with filled(tmp_path / "data") as node:
        yield node


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "import"
    folder.mkdir()
    return folder


def run(node: Filled, *paths: Path) -> Report:
    with Journal(node.settings.data_dir / "import.sqlite") as journal:
        importer = Importer(node.ingest, node.catalog, journal)
        return importer.run(import_sources.find(paths), lambda _: None)


def counts(report: Report) -> dict[str, int]:
    return {result.value: count for result, count in report.counts.items() if count}


def kept_bytes(node: Filled, uid: str) -> bytes:
    (record,) = node.catalog.instances("sop_instance_uid", uid)
    return (node.settings.archive_dir / record.file_key).read_bytes()


def test_a_folder_is_imported_with_all_below(node: Filled, folder: Path) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    shutil.copy(CT, folder / "a" / "one")
    shutil.copy(MR, folder / "a" / "b" / "two.dcm")
    (folder / "notes.txt").write_text("nothing")
    report = run(node, folder)
    assert counts(report) == {"new": 2, "not_dicom": 1}
    assert report.bytes_kept == CT.stat().st_size + MR.stat().st_size
    assert node.catalog.waiting() == {Queue.BACKFILL: 2}


def test_the_data_set_is_kept_byte_for_byte(node: Filled) -> None:
    run(node, CT)
    offset = 128 + 4 + 12 + dcmread(CT).file_meta.FileMetaInformationGroupLength
    assert kept_bytes(node, CT_UID).endswith(CT.read_bytes()[offset:])


def test_each_kind_of_encoding_is_kept_a_bare_data_set_too(node: Filled) -> None:
    paths = [CT, DEFLATED, bundled("ExplVR_BigEnd.dcm"), bundled("JPEG2000.dcm"), bundled("rtstruct.dcm")]
    assert counts(run(node, *paths)) == {"new": 5}


def test_a_second_run_passes_over_what_is_known_without_reading_it(node: Filled, folder: Path) -> None:
    shutil.copy(CT, folder / "one")
    run(node, folder)
    atime = (folder / "one").stat().st_atime_ns
    report = run(node, folder)
    assert counts(report) == {"known": 1}
    assert (folder / "one").stat().st_atime_ns == atime


def test_a_changed_file_is_imported_again(node: Filled, folder: Path) -> None:
    shutil.copy(CT, folder / "one")
    run(node, folder)
    data_set = dcmread(CT)
    data_set.PatientComments = "another version"
    data_set.save_as(folder / "one")
    assert counts(run(node, folder)) == {"other_version": 1}


def test_without_the_journal_it_is_recognised_by_its_bytes(node: Filled) -> None:
    run(node, CT)
    (node.settings.data_dir / "import.sqlite").unlink()
    assert counts(run(node, CT)) == {"duplicate": 1}


def test_a_damaged_journal_is_begun_anew(node: Filled) -> None:
    (node.settings.data_dir / "import.sqlite").write_bytes(b"no database at all" * 100)
    assert counts(run(node, CT)) == {"new": 1}
    assert counts(run(node, CT)) == {"known": 1}


def test_the_catalog_has_the_last_word_on_what_is_known(tmp_path: Path) -> None:
    with filled(tmp_path / "old") as old:
        run(old, CT)
    with filled(tmp_path / "new") as new:
        shutil.copy(tmp_path / "old" / "import.sqlite", tmp_path / "new")
        assert counts(run(new, CT)) == {"new": 1}


def test_no_path_stands_in_the_journal(node: Filled, folder: Path) -> None:
    shutil.copy(CT, folder / "DOE^JANE")
    run(node, folder)
    assert b"DOE^JANE" not in (node.settings.data_dir / "import.sqlite").read_bytes()


def test_a_dicomdir_names_its_files(node: Filled) -> None:
    report = run(node, bundled("dicomdirtests/DICOMDIR"))
    assert counts(report) == {"new": 31}


def test_a_folder_with_a_dicomdir_passes_over_the_directory_itself(node: Filled, folder: Path) -> None:
    shutil.copy(bundled("dicomdirtests/DICOMDIR"), folder / "DICOMDIR")
    shutil.copy(CT, folder / "IM1")
    assert counts(run(node, folder)) == {"new": 1, "not_dicom": 1}


def test_a_dicomdir_may_not_name_files_outside_of_its_folder(node: Filled, folder: Path) -> None:
    directory = dcmread(bundled("dicomdirtests/DICOMDIR"))
    records = [record for record in directory.DirectoryRecordSequence if "ReferencedFileID" in record][:3]
    for record, file_id in zip(records, (["..", "secret"], ["LINK", "secret"], ["ABSENT"]), strict=True):
        record.ReferencedFileID = file_id
    directory.DirectoryRecordSequence = records
    (folder / "media").mkdir()
    shutil.copy(CT, folder / "secret")
    (folder / "media" / "LINK").symlink_to(folder)
    directory.save_as(folder / "media" / "DICOMDIR")
    report = run(node, folder / "media" / "DICOMDIR")
    outside = "the DICOMDIR names a file outside of its folder"
    assert [refusal.reason for refusal in report.refused] == [outside, outside, "No such file or directory"]
    assert counts(report) == {"refused": 3}


def test_a_damaged_dicomdir_is_refused(node: Filled, folder: Path) -> None:
    (folder / "DICOMDIR").write_bytes(bundled("dicomdirtests/DICOMDIR").read_bytes()[:300])
    assert run(node, folder).refused == []
    assert run(node, folder / "DICOMDIR").refused == [Refusal(f"{folder}/DICOMDIR", "the DICOMDIR names no file")]


def test_names_in_lower_case_are_found(node: Filled, folder: Path) -> None:
    directory = dcmread(bundled("dicomdirtests/DICOMDIR"))
    (record, *_) = [each for each in directory.DirectoryRecordSequence if "ReferencedFileID" in each]
    record.ReferencedFileID = ["STUDY", "IM1"]
    directory.DirectoryRecordSequence = [record]
    (folder / "study").mkdir()
    shutil.copy(CT, folder / "study" / "im1")
    directory.save_as(folder / "dicomdir")
    assert counts(run(node, folder / "dicomdir")) == {"new": 1}


# Zip archives


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_archive_is_imported(node: Filled, folder: Path, compression: int) -> None:
    with zipfile.ZipFile(folder / "export.zip", "w", compression) as archive:
        archive.write(CT, "study/one")
        archive.write(MR, "study/two")
        archive.writestr("readme.txt", "nothing")
    assert counts(run(node, folder)) == {"new": 2, "not_dicom": 1}
    assert counts(run(node, folder)) == {"known": 2, "not_dicom": 1}
    assert kept_bytes(node, CT_UID).endswith(CT.read_bytes()[-10_000:])


def test_a_members_name_leads_nowhere(node: Filled, folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(folder / "slip.zip", "w") as archive:
        archive.write(CT, "../../../escaped.dcm")
        archive.write(MR, "/escaped.dcm")
    before = {path for path in tmp_path.rglob("*") if not path.is_relative_to(tmp_path / "data")}
    assert counts(run(node, folder / "slip.zip")) == {"new": 2}
    assert {path for path in tmp_path.rglob("*") if not path.is_relative_to(tmp_path / "data")} == before


def test_a_member_packed_too_tightly_is_refused(node: Filled, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_sources, "HARMLESS_BYTES", 1 << 20)
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.dcm", bytes(2 << 20))
        archive.write(CT, "one")
    report = run(node, folder)
    assert report.refused == [Refusal(f"{folder}/bomb.zip!bomb.dcm", "packed more than 100 to 1")]
    assert counts(report) == {"new": 1, "refused": 1}


def test_too_many_members_are_refused(node: Filled, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_sources, "MAXIMUM_MEMBERS", 1)
    with zipfile.ZipFile(folder / "many.zip", "w") as archive:
        archive.write(CT, "one")
        archive.write(MR, "two")
    assert run(node, folder).refused[0].reason == "a zip archive of more than 1 members"


def test_a_damaged_archive_is_refused(node: Filled, folder: Path) -> None:
    (folder / "short.zip").write_bytes(b"PK\x03\x04 and nothing else")
    assert run(node, folder).refused == [Refusal(f"{folder}/short.zip", "a damaged zip archive")]


def test_a_member_that_says_it_is_smaller_than_it_is_is_not_kept(node: Filled, folder: Path) -> None:
    with zipfile.ZipFile(folder / "lie.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(CT, "one")
    data = bytearray((folder / "lie.zip").read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = struct.pack("<I", 20_000)
    (folder / "lie.zip").write_bytes(data)
    assert counts(run(node, folder)) == {"refused": 1}
    assert node.catalog.counts().stored == 0
    assert [path for path in node.settings.archive_dir.rglob("*") if path.is_file()] == []


def test_an_encrypted_member_is_refused(node: Filled, folder: Path) -> None:
    with zipfile.ZipFile(folder / "locked.zip", "w") as archive:
        archive.write(CT, "one")
    data = bytearray((folder / "locked.zip").read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 8] |= 1
    (folder / "locked.zip").write_bytes(data)
    assert run(node, folder).refused[0].reason == "encrypted"


# What cannot be taken


def test_what_is_no_regular_file_is_passed_over(node: Filled, folder: Path) -> None:
    import os

    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to(folder)
    (folder / "dangling").symlink_to(folder / "absent")
    shutil.copy(CT, folder / "one")
    report = run(node, folder)
    assert counts(report) == {"new": 1, "refused": 1}
    assert report.refused == [Refusal(f"{folder}/dangling", "No such file or directory")]
    assert stat.S_ISFIFO((folder / "pipe").stat().st_mode)


def test_a_data_set_without_a_uid_is_refused_with_the_reason(node: Filled, folder: Path) -> None:
    data_set = dcmread(CT)
    del data_set.StudyInstanceUID
    data_set.save_as(folder / "one")
    assert run(node, folder).refused == [Refusal(f"{folder}/one", "Study Instance UID is absent or not a UID")]


def test_the_data_set_counts_where_the_file_meta_information_says_otherwise(node: Filled, folder: Path) -> None:
    data_set = dcmread(CT)
    data_set.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    data_set.save_as(folder / "one")
    assert counts(run(node, folder)) == {"new": 1}
    assert len(node.catalog.instances("sop_instance_uid", CT_UID)) == 1


def test_a_missing_path_is_said(node: Filled, tmp_path: Path) -> None:
    report = run(node, tmp_path / "absent", CT)
    assert report.refused == [Refusal(str(tmp_path / "absent"), "No such file or directory")]
    assert report.counts[Result.NEW] == 1


def test_a_full_disk_ends_the_run_and_a_second_one_goes_on(node: Filled, folder: Path) -> None:
    for number, path in enumerate((CT, MR, DEFLATED)):
        shutil.copy(path, folder / str(number))

    def full_at_the_second(found: Iterator[Candidate | Refusal]) -> Iterator[Candidate | Refusal]:
        for number, candidate in enumerate(found):
            if number == 1:
                raise Unavailable("the archive's disk is nearly full")
            yield candidate

    with Journal(node.settings.data_dir / "import.sqlite") as journal:
        importer = Importer(node.ingest, node.catalog, journal)
        report = importer.run(full_at_the_second(import_sources.find([folder])), lambda _: None)
    assert report.stopped == "the archive's disk is nearly full"
    again = run(node, folder)
    assert counts(again) in ({"known": 1, "new": 2}, {"duplicate": 1, "new": 2})
    assert node.catalog.counts().stored == 3


def test_progress_is_told_after_each_file(node: Filled, folder: Path) -> None:
    shutil.copy(CT, folder / "1")
    shutil.copy(MR, folder / "2")
    seen: list[int] = []
    with Journal(node.settings.data_dir / "import.sqlite") as journal:
        Importer(node.ingest, node.catalog, journal).run(
            import_sources.find([folder]), lambda report: seen.append(report.files)
        )
    assert seen == [1, 2]
