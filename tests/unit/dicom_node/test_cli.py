"""The `dicom-node` command: what it prints, what it prints as JSON, and its exit statuses."""

import contextlib
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.data import get_testdata_file
from pynetdicom import AE, evt
from typer.testing import CliRunner, Result

from dicom_node.catalog.models import EmbeddingState
from dicom_node.cli import app
from dicom_node.commands.output import plain
from dicom_node.commands.processes import announce
from dicom_node.commands.similar import embed
from dicom_node.launch import as_yaml
from dicom_node.settings import load
from index_service.port import Record
from index_service.vector_space import VectorSpace
from tests.filled import Filled, filled
from tests.servers import accepts, free_port, require, wait_for

COMMANDS = ("up", "serve", "dispatch", "worker", "index", "status", "import", "similar", "failed", "retry", "version")


def bundled(name: str) -> Path:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    return Path(path)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})


def run_json(*arguments: object) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Filled]:
    """Three studies: 1.1, near it 1.2 (cosine 0.8), and 1.3 (0.6), which shares an accession number with 1.2."""
    with filled(tmp_path / "data", similarity={"wait_for_example_s": 0}) as node:
        node.add("1.1", (1, 0, 0, 0), PatientID="P1", AccessionNumber="A1")
        node.add("1.2", (0.8, 0.6, 0, 0), PatientID="P2", AccessionNumber="SAME", StudyDescription="[red]\x1b[31m")
        node.add("1.3", (0.6, 0, 0.8, 0), PatientID="P3", AccessionNumber="SAME")
        yield node


@pytest.fixture
def data(node: Filled) -> tuple[str, Path]:
    return ("--data", node.settings.data_dir)


# Help


@pytest.mark.parametrize("command", [*COMMANDS, "echo", "store", "find", "config show", "config check"])
def test_every_command_teaches_with_an_example(command: str) -> None:
    result = run(*command.split(), "--help")
    assert result.exit_code == 0
    assert f"Example: dicom-node {command}" in result.output


def test_the_help_lists_the_exit_statuses() -> None:
    assert "Exit status: 0 done, 1 failed, 2 wrong usage or configuration" in run("--help").output


def test_the_version_is_that_of_the_package() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", run("version").stdout)


def test_the_command_is_installed() -> None:
    program = Path(sys.executable).with_name("dicom-node")
    assert subprocess.run([program, "version"], capture_output=True, timeout=60).returncode == 0


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    pipeline = f"set -o pipefail; {sys.executable} -m dicom_node config show | true"
    result = subprocess.run(["/bin/bash", "-c", pipeline], capture_output=True, text=True, timeout=60)
    assert result.stderr == ""


# Status


def test_status_as_json_is_that_of_the_web(node: Filled, data: tuple[str, Path]) -> None:
    status = run_json("status", *data)
    assert (status["instances"]["stored"], status["instances"]["embedded"], status["studies"]) == (3, 3, 3)
    assert [shard["vectors"] for shard in status["index"]["shards"]] == [3]


def test_status_is_readable(node: Filled, data: tuple[str, Path]) -> None:
    output = run("status", *data).output
    assert re.search(r"embedded +3\n", output)
    assert re.search(r"0 +available +3 +3 +3", output)


def test_status_without_the_index_still_answers(tmp_path: Path) -> None:
    with filled(tmp_path / "data"):
        pass
    assert "The index does not answer." in run("status", "--data", tmp_path / "data").output


@pytest.mark.parametrize("command", [["status"], ["similar", "1.1"], ["failed"], ["retry", "--all"]])
def test_a_folder_no_node_has_run_on_is_refused(tmp_path: Path, command: list[str]) -> None:
    result = run(*command, "--data", tmp_path)
    assert result.exit_code == 3
    assert "no node has run on the data folder" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_settings_of_the_running_node_are_used(tmp_path: Path) -> None:
    """`up` leaves them in the data folder: here another index folder, which the option alone would not lead to."""
    with filled(tmp_path / "data") as node:
        elsewhere = tmp_path / "elsewhere.sqlite"
        shutil.copy(tmp_path / "data" / "catalog.sqlite", elsewhere)
        settings = node.settings.model_copy(
            update={"catalog": node.settings.catalog.model_copy(update={"url": f"sqlite:///{elsewhere}"})}
        )
        (tmp_path / "data" / "run").mkdir(exist_ok=True)
        (tmp_path / "data" / "run" / "node.yaml").write_text(as_yaml(settings))
        node.store("1.9")
        assert run_json("status", "--data", tmp_path / "data")["instances"]["stored"] == 0
        own = tmp_path / "own.yaml"
        own.write_text("index: {shards: 1}\n")
        assert run_json("status", "--data", tmp_path / "data", "--config", own)["instances"]["stored"] == 1


# Similar


def test_similar_ranks_studies(node: Filled, data: tuple[str, Path]) -> None:
    answer = run_json("similar", "1.1", *data)
    assert [(match["study_instance_uid"], match["score"]) for match in answer["matches"]] == [
        ("1.2", 0.8),
        ("1.3", 0.6),
    ]
    assert len(run_json("similar", "A1", "-k", 1, *data)["matches"]) == 1


def test_similar_prints_a_table_that_cannot_speak_to_the_terminal(node: Filled, data: tuple[str, Path]) -> None:
    output = run("similar", "1.1", *data).output
    assert re.search(r"example +1\.000 .*\n +1 +0\.800 .* 1\.2 *\n +2 +0\.600 .* 1\.3 *\n", output)
    assert "[red]\N{REPLACEMENT CHARACTER}[31m" in output
    assert "\x1b" not in output


def test_a_file_of_the_archive_is_asked_by_its_instance(node: Filled, data: tuple[str, Path], tmp_path: Path) -> None:
    (record,) = node.catalog.instances("study_instance_uid", "1.1")
    shutil.copy(node.settings.archive_dir / record.file_key, tmp_path / "kept.dcm")
    answer = run_json("similar", tmp_path / "kept.dcm", *data)
    assert answer["example"]["study_instance_uid"] == "1.1"


def test_another_file_is_asked_by_its_pixels(node: Filled, data: tuple[str, Path]) -> None:
    ask = embed(node.settings, bundled("CT_small.dcm"), 5)
    assert ask.vectors is not None
    node.index.create_space(VectorSpace(ask.space, ask.vectors.shape[1], "model", "preprocessing", "1"))
    attributes = {"modality": "CT"}
    node.index.upsert(ask.space, [Record("1.8.1.1", "1.1", "1.1.1", ask.vectors, (1,), attributes=attributes)])
    answer = run_json("similar", bundled("CT_small.dcm"), *data)
    assert answer["example"] is None
    assert [(match["rank"], match["study_instance_uid"], match["score"]) for match in answer["matches"]] == [
        (1, "1.1", 1.0)
    ]


def test_a_file_that_cannot_be_embedded_is_refused(node: Filled, data: tuple[str, Path]) -> None:
    result = run("similar", bundled("rtplan.dcm"), *data)
    assert result.exit_code == 3
    assert "the file cannot be embedded: " in result.stderr


@pytest.mark.parametrize(
    ("example", "status", "message"),
    [
        ("1.9", 3, "no study of this UID or accession number is in the archive"),
        ("SAME", 3, "several studies carry this accession number; name one: 1.2 1.3"),
        ("1.4", 4, "the example is not indexed yet"),
    ],
)
def test_similar_says_what_is_wrong(
    node: Filled, data: tuple[str, Path], example: str, status: int, message: str
) -> None:
    node.store("1.4")
    settings = node.settings.data_dir / "run" / "node.yaml"
    settings.parent.mkdir(exist_ok=True)
    settings.write_text(as_yaml(node.settings))
    result = run("similar", example, *data)
    assert (result.exit_code, message in result.stderr) == (status, True)


# Failed and retry


def test_failed_and_rejected_instances_are_listed_with_their_reasons(node: Filled, data: tuple[str, Path]) -> None:
    assert "No instance is failed." in run("failed", *data).output
    uid = node.store("1.5")
    node.catalog.settle({}, {uid: "nothing to embed"})
    (entry,) = run_json("failed", "--rejected", *data)
    assert (entry["sop_instance_uid"], entry["reason"]) == (uid, "nothing to embed")
    assert run_json("failed", *data) == []


def test_retry_makes_instances_pending_again(node: Filled, data: tuple[str, Path]) -> None:
    uids = [node.store("1.5"), node.store("1.6")]
    node.catalog.settle({}, dict.fromkeys(uids, "nothing to embed"))
    assert run_json("retry", "--all", *data) == {"retried": 0}
    assert run_json("retry", uids[0], "--rejected", *data) == {"retried": 1}
    assert run("retry", uids[0], *data).exit_code == 3
    assert [item.sop_instance_uid for item in node.catalog.settled(EmbeddingState.REJECTED)] == [uids[1]]


def test_retry_wants_to_be_told_what(data: tuple[str, Path]) -> None:
    assert run("retry", *data).exit_code == 2
    assert run("retry", "1.2", "--all", *data).exit_code == 2


# Import


def test_import_needs_no_node_and_reports(tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    shutil.copy(bundled("CT_small.dcm"), folder)
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.write(bundled("MR_small.dcm"), "mr")
    report = run_json("import", folder, "--data", tmp_path / "data")
    assert (report["new"], report["refused"], report["refusals"], report["stopped"]) == (2, 0, [], None)
    assert run_json("import", folder, "--data", tmp_path / "data")["known"] == 2
    assert run_json("status", "--data", tmp_path / "data")["queues"]["backfill"] == 2


def test_import_shows_its_progress_on_a_terminal(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dicom_node", "import", str(bundled("dicomdirtests")), "--data", str(tmp_path)]
    terminal, its_end = pty.openpty()
    with subprocess.Popen(command, stdin=its_end, stdout=subprocess.DEVNULL, stderr=its_end) as process:
        os.close(its_end)
        shown = b""
        with contextlib.suppress(OSError), os.fdopen(terminal, "rb", buffering=0) as file:  # EIO: it has ended
            while piece := file.read(4096):
                shown += piece
    assert process.returncode == 0
    assert re.search(rb"(\d+)/\1\b.* \d+/s ETA", shown), shown


def test_import_lists_what_was_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.dcm").write_bytes(bytes(128) + b"DICM" + b"\x08\x00")
    result = run("import", tmp_path / "broken.dcm", "--data", tmp_path / "data")
    assert result.exit_code == 3
    assert f"refused {tmp_path}/broken.dcm: " in result.stdout


def test_import_into_a_full_archive_says_that_it_stopped(tmp_path: Path) -> None:
    config = tmp_path / "node.yaml"
    config.write_text(f"archive: {{reserve_bytes: {1 << 60}}}\n")
    result = run("import", bundled("CT_small.dcm"), "--data", tmp_path / "data", "--config", config)
    assert result.exit_code == 4
    assert "stopped: the archive's disk is nearly full" in result.stderr


def test_import_of_nothing_is_wrong_usage(tmp_path: Path) -> None:
    assert run("import", tmp_path / "absent", "--data", tmp_path / "data").exit_code == 2


# Peers


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[list[str]]:
    """DCMTK's storescp, as the arguments that name it."""
    port = free_port()
    command = [require("storescp"), "-aet", "PEER", "--fork", "+xa", "-od", str(tmp_path), str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: accepts(port), "storescp listening")
            yield ["127.0.0.1", str(port), "-aec", "PEER", "-aet", "US", "-to", "5"]
        finally:
            process.terminate()


def test_echo(peer: list[str]) -> None:
    assert run("echo", *peer).stdout == "PEER answered 0000\n"


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # pynetdicom forgets a socket that did not connect
def test_echo_of_nobody_is_unavailable() -> None:
    result = run("echo", "127.0.0.1", free_port(), "-to", 2)
    assert result.exit_code == 4
    assert "it does not answer" in result.stderr


def test_store_sends_files_and_folders(peer: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "scans" / "deep"
    folder.mkdir(parents=True)
    shutil.copy(bundled("MR_small.dcm"), folder)
    host, port, *options = peer
    result = run("store", host, port, bundled("CT_small.dcm"), tmp_path / "scans", *options)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "2 stored, 0 not"
    (folder / "notes.txt").write_text("nothing")
    answer = run("store", host, port, tmp_path / "scans", "--json", *options)
    assert answer.exit_code == 1
    report = json.loads(answer.stdout)
    assert (report["stored"], report["not_stored"]) == (1, 1)
    assert report["files"] == [
        {"path": str(folder / "notes.txt"), "status": None, "reason": "not a DICOM file"},
        {"path": str(folder / "MR_small.dcm"), "status": 0, "reason": ""},
    ]


def test_find_prints_each_match() -> None:
    def answer(_: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        match = Dataset()
        match.StudyInstanceUID = "1.2"
        match.ModalitiesInStudy = ["CT", "SR"]
        match.PatientName = "Doe^Jane\x1b"
        yield 0xFF00, match

    entity = AE("PEER")
    entity.add_supported_context("1.2.840.10008.5.1.4.1.2.2.1")
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, answer)])
    assert server is not None
    peer = ("127.0.0.1", server.server_address[1], "-k", "StudyInstanceUID")
    assert run("find", *peer).stdout.splitlines() == [
        "# 1",
        "(0008,0061) Modalities in Study: CT\\SR",
        "(0010,0010) Patient's Name: Doe^Jane\N{REPLACEMENT CHARACTER}",
        "(0020,000D) Study Instance UID: 1.2",
        "1 matches",
    ]
    assert run_json("find", *peer)[0]["0020000D"] == {"vr": "UI", "Value": ["1.2"]}
    server.shutdown()


def test_find_of_a_key_that_is_none_is_refused(peer: list[str]) -> None:
    assert run("find", *peer, "-k", "Nonsense").exit_code == 3
    assert run("find", *peer).exit_code == 2


def test_find_says_when_the_peer_answers_no_queries(peer: list[str]) -> None:
    result = run("find", *peer, "-P", "-k", "PatientID=1")
    assert result.exit_code == 3
    assert "accepted no presentation context" in result.stderr


# Configuration


def test_config_show_prints_every_option_as_a_file_that_can_be_read_back(tmp_path: Path) -> None:
    result = run("config", "show", "--data", tmp_path)
    shown = tmp_path / "shown.yaml"
    shown.write_text(result.stdout)
    assert load(shown) == load(None, data_dir=tmp_path)


def test_config_check_names_what_is_wrong(tmp_path: Path) -> None:
    config = tmp_path / "node.yaml"
    config.write_text("dicom: {prot: 104}\n")
    result = run("config", "check", "--config", config)
    assert result.exit_code == 2
    assert "dicom.prot" in result.stderr
    config.write_text("dicom: {port: 104}\n")
    assert run("config", "check", "--config", config).exit_code == 0


def test_a_ready_node_says_where_it_listens(capsys: pytest.CaptureFixture[str]) -> None:
    announce(load(None, dicom={"port": 104}, http={"host": "0.0.0.0", "port": 80}))
    text = capsys.readouterr().out
    assert "http://localhost:80/" in text
    assert "storescu -aec DICOMNODE +sd +r localhost 104 FOLDER" in text
    assert "findscu -S -aec SIMILAR" in text


def test_text_from_outside_is_only_shown() -> None:
    assert (
        plain("a\x1b]0;b\x07\u202ec").plain == "a\N{REPLACEMENT CHARACTER}]0;b" + 2 * "\N{REPLACEMENT CHARACTER}" + "c"
    )
