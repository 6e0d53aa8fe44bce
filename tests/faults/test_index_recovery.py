"""What a shard finds in its folder after a crash or after damage: all that was acknowledged, or it does not serve."""

import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from index_service.errors import Corrupt, Rejected, Unavailable
from index_service.folder import logs, snapshots
from index_service.port import Example
from index_service.settings import IndexSettings
from index_service.shard import Shard
from tests.contracts.index_data import X8_Y6, X, Y, Z, new_space, record
from tests.faults.index_writer import SPACE, writer_settings
from tests.servers import wait_for


@pytest.fixture
def settings(tmp_path: Path) -> IndexSettings:
    return IndexSettings(data_dir=tmp_path / "index", shards=1, lock_timeout_s=0.1)


@contextmanager
def opened(settings: IndexSettings) -> Iterator[Shard]:
    shard = Shard(settings, 0)
    try:
        yield shard
    finally:
        shard.close()


def stored_keys(settings: IndexSettings) -> list[str]:
    with opened(settings) as shard:
        return [each.key for group in "abcde" for each in shard.fetch(SPACE.name, Example(group))]


def fill(settings: IndexSettings) -> Path:
    """Store three records, one after the other; return the folder."""
    with opened(settings) as shard:
        shard.create_space(SPACE)
        for each in (record("a/s/i", X, Y), record("b/s/i", X8_Y6), record("c/s/i", Z, attributes={"sex": "F"})):
            shard.upsert(SPACE.name, [each])
    return settings.shard_dir(0)


def fill_with_snapshot(settings: IndexSettings) -> tuple[IndexSettings, Path]:
    """Store records so that a snapshot and a log after it are there; return the settings to open them with."""
    eager = settings.model_copy(update={"snapshot_log_bytes": 300, "snapshot_log_ratio": 0})
    folder = fill(eager)
    wait_for(lambda: snapshots(folder), "a snapshot")
    with opened(settings) as shard:
        shard.upsert(SPACE.name, [record("d/s/i", X)])
    return settings, folder


# --- cut off -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zeros", [0, 700])
def test_a_log_cut_off_at_any_byte_of_its_last_entry_keeps_all_others_and_goes_on(
    settings: IndexSettings, zeros: int
) -> None:
    folder = fill(settings)
    log = logs(folder)[0][1]
    whole = log.read_bytes()
    with opened(settings) as shard:
        shard.upsert(SPACE.name, [record("d/s/i", X)])
    longer = log.read_bytes()
    for size in range(len(whole), len(longer)):
        log.write_bytes(longer[:size] + bytes(zeros))
        with opened(settings) as shard:
            shard.upsert(SPACE.name, [record("e/s/i", Y)])
        assert stored_keys(settings) == ["a/s/i", "b/s/i", "c/s/i", "e/s/i"]


def test_what_a_crash_left_unfinished_is_cleared_away(settings: IndexSettings) -> None:
    settings, folder = fill_with_snapshot(settings)
    unfinished = [folder / "snapshot-00000000000000000099.bin", folder / "log-00000000000000000100.tmp"]
    for path in unfinished:
        path.write_bytes(b"half of")
    assert stored_keys(settings) == ["a/s/i", "b/s/i", "c/s/i", "d/s/i"]
    assert [path for path in unfinished if path.exists()] == []


def test_logs_that_the_snapshot_holds_are_not_replayed_twice(settings: IndexSettings) -> None:
    """The crash falls between the manifest's rename and the removal of the old log."""
    folder = fill(settings)
    old_log = logs(folder)[0][1]
    kept = old_log.read_bytes()
    eager = settings.model_copy(update={"snapshot_log_bytes": 300, "snapshot_log_ratio": 0})
    with opened(eager) as shard:
        shard.delete(SPACE.name, groups=["a"])
        wait_for(lambda: snapshots(folder), "a snapshot")
    assert not old_log.exists()
    old_log.write_bytes(kept)
    assert stored_keys(settings) == ["b/s/i", "c/s/i"]
    assert not old_log.exists()


# --- damage ------------------------------------------------------------------------------------------------------


def test_any_damaged_byte_of_log_snapshot_or_manifest_is_found_before_anything_is_served(
    settings: IndexSettings,
) -> None:
    settings, folder = fill_with_snapshot(settings)
    files = [logs(folder)[-1][1], snapshots(folder)[0][1], folder / "manifest.json"]
    for path in files:
        whole = path.read_bytes()
        for at in range(len(whole)):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x04]) + whole[at + 1 :])
            with pytest.raises(Corrupt):
                Shard(settings, 0)
        path.write_bytes(whole)
    assert stored_keys(settings) == ["a/s/i", "b/s/i", "c/s/i", "d/s/i"]


@pytest.mark.parametrize("missing", ["manifest.json", "snapshot-*.bin", "log-*.bin"])
def test_a_missing_file_is_corruption(settings: IndexSettings, missing: str) -> None:
    settings, folder = fill_with_snapshot(settings)
    for path in folder.glob(missing):
        path.unlink()
    with pytest.raises(Corrupt):
        Shard(settings, 0)


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_a_shortened_snapshot_is_corruption(settings: IndexSettings, cut: int) -> None:
    settings, folder = fill_with_snapshot(settings)
    snapshot = snapshots(folder)[0][1]
    snapshot.write_bytes(snapshot.read_bytes()[:-cut])
    with pytest.raises(Corrupt):
        Shard(settings, 0)


def test_a_log_between_others_that_stops_short_is_corruption(settings: IndexSettings) -> None:
    folder = fill(settings)
    first = logs(folder)[0][1]
    with opened(settings) as shard:
        next_number = shard.stats()[0].last_sequence + 1
    shutil.copy(first, folder / f"log-{next_number:020d}.bin")
    first.write_bytes(first.read_bytes()[:-1])
    with pytest.raises(Corrupt):
        Shard(settings, 0)


# --- whose folder it is ------------------------------------------------------------------------------------------


def test_a_folder_has_one_owner_at_a_time(settings: IndexSettings) -> None:
    with opened(settings), pytest.raises(Unavailable):
        Shard(settings, 0)
    with opened(settings) as shard:
        assert shard.stats()[0].available


@pytest.mark.parametrize("change", [{"shards": 3}, {"generation": 2}])
def test_a_folder_of_another_arrangement_is_rejected(settings: IndexSettings, change: dict[str, int]) -> None:
    fill(settings)
    with pytest.raises(Rejected):
        Shard(settings.model_copy(update=change), 0)


# --- failing disks -----------------------------------------------------------------------------------------------


def test_on_a_full_disk_writes_are_unavailable_and_work_again_when_there_is_room(settings: IndexSettings) -> None:
    folder = fill(settings)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    with opened(settings) as shard:
        shard.upsert(SPACE.name, [record(f"b/s/{i}", X) for i in range(2000)])
        size = logs(folder)[0][1].stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, unlimited[1]))  # the next entry fits in part
        try:
            with pytest.raises(Unavailable):
                shard.upsert(SPACE.name, [record("d/s/i", X)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        assert shard.fetch(SPACE.name, Example("d")) == []
        shard.upsert(SPACE.name, [record("e/s/i", X)])
    with opened(settings) as shard:
        assert [len(shard.fetch(SPACE.name, Example(group))) for group in "bde"] == [2001, 0, 1]


def test_after_a_failed_sync_nothing_is_acknowledged_until_the_log_is_read_again(
    settings: IndexSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(settings)
    failures = []
    shard = Shard(settings, 0, on_failure=lambda: failures.append("failed"))

    def no_sync(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("os.fdatasync", no_sync)
        with pytest.raises(Unavailable):
            shard.upsert(SPACE.name, [record("d/s/i", X)])
    assert shard.fetch(SPACE.name, Example("d")) == []
    with pytest.raises(Unavailable):
        shard.upsert(SPACE.name, [record("e/s/i", X)])
    shard.close()
    assert failures == ["failed"]
    assert stored_keys(settings)[:3] == ["a/s/i", "b/s/i", "c/s/i"]


def test_when_no_new_log_can_be_made_the_old_one_goes_on(
    settings: IndexSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    eager = settings.model_copy(update={"snapshot_log_bytes": 100, "snapshot_log_ratio": 0})

    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, opened(eager) as shard:
        patch.setattr("index_service.folder.put_in_place", no_room)
        shard.create_space(SPACE)
        for group in "abc":
            shard.upsert(SPACE.name, [record(f"{group}/s/i", X)])
    assert stored_keys(settings) == ["a/s/i", "b/s/i", "c/s/i"]


# --- kill -9 -----------------------------------------------------------------------------------------------------


def test_a_process_killed_while_writing_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    settings = writer_settings(tmp_path)
    acknowledged: list[str] = []
    for run in range(4):
        command = [sys.executable, "-m", "tests.faults.index_writer", str(tmp_path), str(run)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            acknowledged += [writer.stdout.readline().strip() for _ in range(100 + 37 * run)]
            writer.kill()
            # What was printed and not read yet was acknowledged too; the last line may be torn.
            acknowledged += writer.stdout.read().split("\n")[:-1]
        with opened(settings) as shard:
            stored = {each.key for thread in range(3) for each in shard.fetch(SPACE.name, Example(f"g{thread}"))}
            assert set(acknowledged) <= stored
            assert len(stored) <= len(acknowledged) + 3 * (run + 1)  # each thread had at most one in flight
    assert len(acknowledged) > 600


def test_after_compaction_everything_alive_is_there_and_nothing_else(settings: IndexSettings) -> None:
    space = new_space()
    with opened(settings) as shard:
        shard.create_space(space)
        shard.upsert(space.name, [record(f"g{i % 50}/s/{i:04d}", (1, i, 0, 0), order=i) for i in range(5000)])
        full = shard.stats()[0].memory_bytes
        assert shard.delete(space.name, groups=[f"g{i}" for i in range(1, 50)]) == 4900
        assert shard.stats()[0].memory_bytes < full / 10
        shard.upsert(space.name, [record("g0/s/9999", X, order=9999)])
        keys = [each.key for each in shard.fetch(space.name, Example("g0"))]
    assert keys == [f"g0/s/{i:04d}" for i in range(0, 5000, 50)] + ["g0/s/9999"]
    with opened(settings) as shard:
        assert [each.key for each in shard.fetch(space.name, Example("g0"))] == keys
