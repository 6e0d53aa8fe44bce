"""The index as processes: a dead, stopped or damaged shard is never passed over in silence, and comes back."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from index_service.client import IndexClient
from index_service.errors import Unavailable
from index_service.folder import logs
from index_service.port import Answer, Example, Query
from index_service.router import shard_of
from index_service.settings import IndexSettings
from tests.contracts.index_data import X, new_space, record, vectors
from tests.contracts.index_process import IndexProcess, index_process
from tests.servers import free_port, wait_for

SPACE = new_space()
# Groups by the shard they live on.
ON = {number: [f"g{i}" for i in range(40) if shard_of(f"g{i}", 2) == number] for number in (0, 1)}
RECORDS = [record(f"{group}/s/i", (1, i, 0, 0)) for i, group in enumerate([*ON[0], *ON[1]])]
EVERYTHING = Query(SPACE.name, 100, vectors=vectors(X))


def impatient(folder: Path) -> IndexSettings:
    return IndexSettings(data_dir=folder / "index", search_timeout_s=1.0, write_timeout_s=1.0)


@pytest.fixture
def settings(tmp_path: Path) -> IndexSettings:
    return impatient(tmp_path)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IndexProcess]:
    """A filled index that each test leaves whole."""
    settings = impatient(tmp_path_factory.mktemp("shared")).model_copy(update={"metrics_port": free_port()})
    with index_process(settings) as running:
        fill(running)
        yield running


def fill(running: IndexProcess) -> None:
    running.client.create_space(SPACE)
    running.client.upsert(SPACE.name, RECORDS)


def found(answer: Answer) -> set[str]:
    return {neighbor.group for neighbor in answer.neighbors}


def is_honest(answer: Answer) -> bool:
    """Return whether an answer is complete, or says that it is not and holds all of the shard that answered."""
    if answer.partial:
        return found(answer) in (set(ON[0]), set(ON[1]))
    return found(answer) == {*ON[0], *ON[1]}


def test_both_shards_hold_groups_and_answer_together(running: IndexProcess) -> None:
    answer = running.client.search(EVERYTHING)
    assert found(answer) == {*ON[0], *ON[1]}
    assert (answer.shards_answered, answer.shards_total, answer.groups_searched) == (2, 2, 40)
    assert [stats.groups for stats in running.client.stats()] == [len(ON[0]), len(ON[1])]


def test_a_killed_shard_makes_answers_partial_until_it_is_back_by_itself(running: IndexProcess) -> None:
    shard = running.shard(1)
    shard.kill()
    shard.wait(5)
    answers = [running.client.search(EVERYTHING)]
    wait_for(lambda: answers.append(running.client.search(EVERYTHING)) or not answers[-1].partial, "whole again")
    assert [answer for answer in answers if not is_honest(answer)] == []
    assert answers[0].partial
    assert answers[0].groups_searched == len(ON[0])


def test_one_metrics_page_shows_all_shards(running: IndexProcess) -> None:
    page = httpx.get(f"http://127.0.0.1:{running.settings.metrics_port}/metrics").text.splitlines()
    assert f'dicom_node_index_vectors{{shard="1"}} {len(ON[1])}.0' in page
    assert 'dicom_node_index_shard_up{shard="0"} 1.0' in page
    assert "dicom_node_index_shards_available 2.0" in page
    assert any(line.startswith("dicom_node_index_search_seconds_count ") for line in page)
    assert f"dicom_node_index_upserted_records_total {len(RECORDS)}.0" in page


def test_while_a_shard_is_stopped_its_own_groups_are_unavailable_and_the_others_are_served(
    running: IndexProcess,
) -> None:
    shard = running.shard(1)
    shard.suspend()
    try:
        answer = running.client.search(EVERYTHING)
        assert (answer.shards_answered, found(answer)) == (1, set(ON[0]))
        assert [stats.available for stats in running.client.stats()] == [True, False]
        running.client.upsert(SPACE.name, [record(f"{ON[0][0]}/s/j", X)])
        with pytest.raises(Unavailable):
            running.client.upsert(SPACE.name, [record(f"{ON[1][0]}/s/j", X)])
        with pytest.raises(Unavailable):
            running.client.fetch(SPACE.name, Example(ON[1][0]))
        with pytest.raises(Unavailable):
            running.client.search(Query(SPACE.name, 1, example=Example(ON[1][0])))
        with pytest.raises(Unavailable):
            running.client.create_space(new_space())
    finally:
        shard.resume()
    wait_for(running.is_whole, "whole again")
    assert found(running.client.search(EVERYTHING)) == {*ON[0], *ON[1]}


def test_without_any_shard_a_search_is_unavailable(running: IndexProcess) -> None:
    shards = [running.shard(0), running.shard(1)]
    for shard in shards:
        shard.suspend()
    try:
        with pytest.raises(Unavailable):
            running.client.search(EVERYTHING)
    finally:
        for shard in shards:
            shard.resume()
    wait_for(running.is_whole, "whole again")


def test_a_killed_router_leaves_no_orphan_and_its_successor_has_everything(settings: IndexSettings) -> None:
    with index_process(settings) as killed:
        fill(killed)
        shards = [killed.shard(0), killed.shard(1)]
        killed.process.kill()
        with index_process(settings) as successor:
            wait_for(lambda: not any(shard.is_running() for shard in shards), "end of the orphans")
            assert found(successor.client.search(EVERYTHING)) == {*ON[0], *ON[1]}
            wait_for(lambda: _answers(killed.client), "the old client connected again")
            assert found(killed.client.search(EVERYTHING)) == {*ON[0], *ON[1]}


def _answers(client: IndexClient) -> bool:
    try:
        client.stats()
    except Unavailable:
        return False
    return True


def test_sigterm_ends_all_processes_in_five_seconds(settings: IndexSettings) -> None:
    with index_process(settings) as running:
        shards = [running.shard(0), running.shard(1)]
        start = time.monotonic()
        running.process.terminate()
        assert running.process.wait(5) == 0
        assert time.monotonic() - start < 5
    assert [shard for shard in shards if shard.is_running()] == []


def test_a_second_router_on_the_same_folder_gives_up_and_harms_nothing(running: IndexProcess) -> None:
    assert _run("router", running.settings.model_copy(update={"lock_timeout_s": 0.1})) == 75
    assert found(running.client.search(EVERYTHING)) == {*ON[0], *ON[1]}


def test_a_damaged_shard_refuses_to_serve_and_the_rest_says_so(settings: IndexSettings) -> None:
    with index_process(settings) as running:
        fill(running)
    log = logs(settings.shard_dir(1))[0][1]
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 1
    log.write_bytes(data)
    assert _run("shard", settings, "1") == 65
    with index_process(settings.model_copy(update={"start_timeout_s": 30.0})) as running:
        answer = running.client.search(EVERYTHING)
        assert (answer.shards_answered, found(answer)) == (1, set(ON[0]))
        assert [stats.available for stats in running.client.stats()] == [True, False]
    assert log.read_bytes() == data


def test_a_wrong_configuration_ends_with_a_status_of_its_own(settings: IndexSettings) -> None:
    command = [sys.executable, "-m", "index_service", "router", "--config-json", '{"shard": 2}']
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert ended.returncode == 64
    assert "shard" in ended.stderr


def test_shards_may_run_elsewhere_by_a_static_map(settings: IndexSettings) -> None:
    addresses = (f"127.0.0.1:{free_port()}", f"unix:{settings.run_dir}/elsewhere.sock")
    spread = settings.model_copy(update={"shard_addresses": addresses, "listen": f"127.0.0.1:{free_port()}"})
    shards = [_start("shard", spread, str(number)) for number in (0, 1)]
    try:
        with index_process(spread) as running:
            wait_for(running.is_whole, "both shards")
            fill(running)
            assert found(running.client.search(EVERYTHING)) == {*ON[0], *ON[1]}
            assert psutil.Process(running.process.pid).children() == []
    finally:
        for shard in shards:
            shard.send_signal(signal.SIGTERM)
    assert [shard.wait(5) for shard in shards] == [0, 0]


def _command(role: str, settings: IndexSettings, *arguments: str) -> list[str]:
    command = [sys.executable, "-m", "index_service", role, *arguments]
    return [*command, "--config-json", settings.model_dump_json(), "--parent-pid", str(os.getpid())]


def _start(role: str, settings: IndexSettings, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(_command(role, settings, *arguments), stderr=subprocess.DEVNULL)


def _run(role: str, settings: IndexSettings, *arguments: str) -> int:
    return subprocess.run(_command(role, settings, *arguments), stderr=subprocess.DEVNULL, timeout=20).returncode
