"""Keeping one received instance: durably, once, or not at all."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.archive import Archive
from dicom_node.catalog.intake import Outcome
from dicom_node.catalog.repository import Catalog
from dicom_node.errors import Rejected, SopClassMismatch, Unavailable
from dicom_node.ingest import Claimed, Ingest, Receipt
from tests.dicom import ct, encoded

EXPLICIT = "1.2.840.10008.1.2.1"
CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog(f"sqlite:///{tmp_path}/catalog.sqlite") as catalog:
        yield catalog


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "archive")


@pytest.fixture
def ingest(archive: Archive, catalog: Catalog) -> Iterator[Ingest]:
    ingest = Ingest(archive, catalog, 1 << 20)
    yield ingest
    ingest.close()


def store(ingest: Ingest, data: bytes, uid: str = "1.2.3", sop_class: str = CT) -> Receipt:
    claimed = Claimed(sop_class, uid, EXPLICIT, "SCANNER")
    with ingest.open(claimed) as spool:
        spool.write(data)
        return ingest.keep(spool, claimed)


def kept_files(archive: Archive) -> list[Path]:
    return [path for path in archive.root.rglob("*") if path.is_file()]


def test_an_instance_is_kept_byte_for_byte(ingest: Ingest, catalog: Catalog, archive: Archive) -> None:
    data = encoded(ct(SOPInstanceUID="1.2.3", StudyInstanceUID="1.9"))
    assert store(ingest, data) == Receipt("1.2.3", "1.9", Outcome.NEW)
    (record,) = catalog.instances("sop_instance_uid", "1.2.3")
    assert archive.path(record.file_key).read_bytes().endswith(data)
    assert record.transfer_syntax_uid == EXPLICIT


def test_a_duplicate_leaves_one_file(ingest: Ingest, archive: Archive) -> None:
    data = encoded(ct(SOPInstanceUID="1.2.3"))
    store(ingest, data)
    assert store(ingest, data).outcome is Outcome.DUPLICATE
    assert len(kept_files(archive)) == 1


def test_other_bytes_leave_two_files(ingest: Ingest, archive: Archive) -> None:
    store(ingest, encoded(ct(SOPInstanceUID="1.2.3")))
    assert store(ingest, encoded(ct(SOPInstanceUID="1.2.3", PatientID="P2"))).outcome is Outcome.OTHER_VERSION
    assert len(kept_files(archive)) == 2


def test_what_cannot_be_understood_leaves_nothing(ingest: Ingest, catalog: Catalog, archive: Archive) -> None:
    with pytest.raises(Rejected):
        store(ingest, b"\x08\x00\x18\x00UI\x10\x00garbage")
    assert kept_files(archive) == []
    assert catalog.counts().stored == 0


def test_the_command_must_name_the_instance_in_the_data_set(ingest: Ingest) -> None:
    data = encoded(ct(SOPInstanceUID="1.2.3"))
    with pytest.raises(Rejected, match="another SOP Instance UID"):
        store(ingest, data, uid="1.2.4")
    with pytest.raises(SopClassMismatch):
        store(ingest, data, sop_class="1.2.840.10008.5.1.4.1.1.4")


@pytest.mark.parametrize("uid", ["../../tmp/x", "", "1.2\0", "1.2\n3"])
def test_impossible_uids_are_refused_before_a_byte_is_written(ingest: Ingest, archive: Archive, uid: str) -> None:
    with pytest.raises(Rejected):
        ingest.open(Claimed(CT, uid, EXPLICIT))
    assert kept_files(archive) == []


def test_a_failed_commit_is_no_receipt_and_leaves_nothing(
    ingest: Ingest, catalog: Catalog, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise Unavailable("the catalog could not record instances")

    monkeypatch.setattr(catalog, "record", fail)
    with pytest.raises(Unavailable):
        store(ingest, encoded(ct(SOPInstanceUID="1.2.3")))
    assert kept_files(archive) == []


def test_a_commit_that_took_place_although_it_failed_keeps_its_file(
    ingest: Ingest, catalog: Catalog, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = catalog.record

    def commit_then_fail(batch: object) -> None:
        record(batch)  # type: ignore[arg-type]
        raise Unavailable("the connection broke after the commit")

    monkeypatch.setattr(catalog, "record", commit_then_fail)
    with pytest.raises(Unavailable):
        store(ingest, encoded(ct(SOPInstanceUID="1.2.3")))
    assert len(kept_files(archive)) == 1
    monkeypatch.undo()
    assert store(ingest, encoded(ct(SOPInstanceUID="1.2.3"))).outcome is Outcome.DUPLICATE


def test_folders_are_synced_after_the_file_and_before_the_commit(
    ingest: Ingest, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, record = os.fsync, catalog.record

    def traced_fsync(descriptor: int) -> None:
        calls.append("folder" if Path(f"/proc/self/fd/{descriptor}").is_dir() else "file")
        fsync(descriptor)

    def traced_record(batch: object) -> object:
        calls.append("commit")
        return record(batch)  # type: ignore[arg-type]

    store(ingest, encoded(ct(SOPInstanceUID="1.2.9")), uid="1.2.9")  # makes this minute's folder
    monkeypatch.setattr(os, "fsync", traced_fsync)
    monkeypatch.setattr(catalog, "record", traced_record)
    store(ingest, encoded(ct(SOPInstanceUID="1.2.3")))
    assert calls[0] == "file"
    assert calls[-2:] == ["folder", "commit"]
