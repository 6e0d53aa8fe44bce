"""The archive: durable files under keys of our own."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dicom_node.archive import KEY, PREFIX, Archive, sha256_of_data_set
from dicom_node.errors import Corrupt, Unavailable
from dicom_node.instance import encode_file_meta

META = b"meta"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "archive")


def keep(archive: Archive, *pieces: bytes) -> str:
    with archive.spool(META) as spool:
        for piece in pieces:
            spool.write(piece)
        file = spool.keep()
    archive.sync_folders([file.key])
    return file.key


def files(archive: Archive) -> list[Path]:
    return [path for path in archive.root.rglob("*") if path.is_file()]


def test_a_kept_file_holds_preamble_meta_and_the_pieces_in_order(archive: Archive) -> None:
    key = keep(archive, b"ab", b"c")
    assert KEY.fullmatch(key)
    assert archive.path(key).read_bytes() == bytes(128) + b"DICM" + b"metaabc"


def test_a_kept_file_is_described_by_size_and_the_digest_of_the_data_set_alone(archive: Archive) -> None:
    with archive.spool(META) as spool:
        spool.write(b"abc")
        file = spool.keep()
    assert file.size_bytes == 139
    assert file.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_of_data_set(archive.path(file.key), len(PREFIX) + len(META)) == file.sha256


def kept_with_meta(archive: Archive) -> tuple[str, str]:
    with archive.spool(encode_file_meta("1.2", "1.3", "1.2.840.10008.1.2.1")) as spool:
        spool.write(b"abc")
        file = spool.keep()
    return file.key, file.sha256


def test_a_file_read_through_tells_where_its_data_set_starts(archive: Archive) -> None:
    key, sha256 = kept_with_meta(archive)
    offset = archive.verified_offset(key, sha256)
    assert archive.path(key).read_bytes()[offset:] == b"abc"


@pytest.mark.parametrize("position", [140, -1], ids=["group-length", "data-set"])
def test_a_flipped_bit_is_found(archive: Archive, position: int) -> None:
    key, sha256 = kept_with_meta(archive)
    content = bytearray(archive.path(key).read_bytes())
    content[position] ^= 1
    archive.path(key).write_bytes(content)
    with pytest.raises(Corrupt, match="does not hold what was received"):
        archive.verified_offset(key, sha256)


def test_a_file_that_is_gone_or_cut_off_is_corrupt(archive: Archive) -> None:
    key, sha256 = kept_with_meta(archive)
    archive.path(key).write_bytes(bytes(100))
    with pytest.raises(Corrupt, match="cut off"):
        archive.verified_offset(key, sha256)
    archive.delete(key)
    with pytest.raises(Corrupt, match="gone"):
        archive.verified_offset(key, sha256)


def test_files_and_folders_are_the_owners_alone(archive: Archive) -> None:
    path = archive.path(keep(archive, b"x"))
    assert path.stat().st_mode & 0o777 == 0o600
    assert {parent.stat().st_mode & 0o777 for parent in [path.parent, path.parents[1], archive.root]} == {0o700}


def test_what_is_not_kept_leaves_nothing(archive: Archive) -> None:
    with archive.spool(META) as spool:
        spool.write(b"abc")
    assert files(archive) == []


@pytest.mark.parametrize(
    "key", ["../../etc/passwd", "20260101/0000/../x.dcm", "", "/etc/passwd", "20260101/0000/a.dcm"]
)
def test_no_path_is_made_of_what_is_no_key(archive: Archive, key: str) -> None:
    with pytest.raises(Corrupt):
        archive.path(key)


def test_a_disk_with_less_than_the_reserve_takes_nothing_new(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive", reserve_bytes=1 << 60)
    with pytest.raises(Unavailable, match="nearly full"):
        archive.spool(META)


def test_a_failing_sync_is_no_success_and_leaves_nothing(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with archive.spool(META) as spool:
        spool.write(b"abc")
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(Unavailable, match="could not keep"):
            spool.keep()
    assert files(archive) == []


def keep_and_die(archive: Archive) -> str:
    """Have a process keep a file and die before anybody records it; return the key."""
    program = (
        "import os, sys, pathlib; from dicom_node.archive import Archive;"
        "archive = Archive(pathlib.Path(sys.argv[1])); spool = archive.spool(b'meta'); spool.write(b'abc');"
        "print(spool.keep().key, flush=True); os._exit(9)"
    )
    command = [sys.executable, "-c", program, str(archive.root)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def test_a_kept_file_that_its_dead_process_did_not_record_is_discarded(archive: Archive) -> None:
    own = keep(archive, b"ours")
    key = keep_and_die(archive)
    assert Archive(archive.root).discard_unrecorded(lambda _: []) == 1
    assert files(archive) == [archive.path(own)]
    assert not archive.path(key).exists()


def test_a_kept_file_that_was_recorded_outlives_its_process(archive: Archive) -> None:
    key = keep_and_die(archive)
    assert Archive(archive.root).discard_unrecorded(lambda keys: keys) == 0
    assert archive.path(key).exists()


def test_unfinished_files_of_a_dead_process_are_discarded_and_those_of_a_living_one_are_not(archive: Archive) -> None:
    program = (
        "import os, sys, pathlib; from dicom_node.archive import Archive;"
        "spool = Archive(pathlib.Path(sys.argv[1])).spool(b'meta'); spool.write(b'abc'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", program, str(archive.root)], check=False)
    assert len(files(archive)) == 1
    living = Archive(archive.root)
    with living.spool(META) as spool:
        assert Archive(archive.root).discard_unrecorded(lambda _: []) == 1
        assert files(archive) == [spool.path]
        spool.write(b"abc")
        assert spool.keep().size_bytes == 139
