"""Retrieve, PS3.4 C.4.2 (C-MOVE) and C.4.3 (C-GET): what comes back is what was sent, and the counts say so."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.association import Association

from tests.dcmtk import retrieve, storescp
from tests.retrieving import GET, MOVE, Destination, counts, destination, failed, getting, move, moving
from tests.scp import CT, EXPLICIT, Scp, associated, identifier, serving
from tests.servers import free_port, wait_for

# Patient P1 has study 1.1 with series 1.1.1 (two instances) and 1.1.2; patient P2 study 1.2 with one.
HELD = [
    ("P1", "1.1", "1.1.1", "1.1.1.1"),
    ("P1", "1.1", "1.1.1", "1.1.1.2"),
    ("P1", "1.1", "1.1.2", "1.1.2.1"),
    ("P2", "1.2", "1.2.1", "1.2.1.1"),
]
ANSWERS = [
    ("-S", ["QueryRetrieveLevel=STUDY", "StudyInstanceUID=1.1"], {"1.1.1.1", "1.1.1.2", "1.1.2.1"}),
    ("-S", ["QueryRetrieveLevel=STUDY", "StudyInstanceUID=1.1\\1.2\\1.3"], {uid for *_, uid in HELD}),
    ("-S", ["QueryRetrieveLevel=STUDY", "StudyInstanceUID=1.3"], set()),
    ("-S", ["QueryRetrieveLevel=SERIES", "StudyInstanceUID=1.1", "SeriesInstanceUID=1.1.2"], {"1.1.2.1"}),
    ("-S", ["QueryRetrieveLevel=SERIES", "StudyInstanceUID=1.2", "SeriesInstanceUID=1.1.2"], set()),
    (
        "-S",
        [
            "QueryRetrieveLevel=IMAGE",
            "StudyInstanceUID=1.1",
            "SeriesInstanceUID=1.1.1",
            "SOPInstanceUID=1.1.1.2\\1.1.1.1",
        ],
        {"1.1.1.1", "1.1.1.2"},
    ),
    ("-P", ["QueryRetrieveLevel=PATIENT", "PatientID=P1"], {"1.1.1.1", "1.1.1.2", "1.1.2.1"}),
    ("-P", ["QueryRetrieveLevel=STUDY", "PatientID=P2", "StudyInstanceUID=1.1\\1.2"], {"1.2.1.1"}),
]


def fill(scp: Scp) -> None:
    for patient, study, series, instance in HELD:
        scp.parts.store(study, PatientID=patient, SeriesInstanceUID=series, SOPInstanceUID=instance)


@pytest.fixture
def held(tmp_path: Path) -> Iterator[tuple[Scp, Path]]:
    """A node that holds `HELD`, and the folder of what is moved to STATION."""
    folder = tmp_path / "received"
    folder.mkdir()
    with (
        storescp(folder, "+xa") as port,
        serving(tmp_path / "data", peers=[{"ae_title": "STATION", "host": "127.0.0.1", "port": port}]) as scp,
    ):
        fill(scp)
        yield scp, folder


def uids(folder: Path) -> set[str]:
    return {str(dcmread(path).SOPInstanceUID) for path in folder.iterdir()}


@pytest.mark.parametrize(("model", "keys", "expected"), ANSWERS)
@pytest.mark.parametrize("called", ["DICOMNODE", "SIMILAR"])
def test_dcmtk_moves_at_every_level(
    held: tuple[Scp, Path], model: str, keys: list[str], expected: set[str], called: str
) -> None:
    scp, folder = held
    result = retrieve("movescu", scp.port, keys, model, "-aem", "STATION", called=called)
    assert result.status == "Success", result.output
    assert uids(folder) == expected


@pytest.mark.parametrize(("model", "keys", "expected"), ANSWERS)
def test_dcmtk_gets_at_every_level(
    held: tuple[Scp, Path], model: str, keys: list[str], expected: set[str], tmp_path: Path
) -> None:
    scp, _ = held
    folder = tmp_path / "got"
    folder.mkdir()
    result = retrieve("getscu", scp.port, keys, model, "-od", str(folder), "+B", called="SIMILAR")
    assert result.status == "Success", result.output
    assert uids(folder) == expected
    assert f"Completed Suboperations : {len(expected)}\n" in result.output


@pytest.mark.parametrize(
    ("model", "keys", "offending"),
    [
        ("-S", {"StudyInstanceUID": "1.1"}, 0x00080052),
        ("-S", {"QueryRetrieveLevel": "FRAME"}, 0x00080052),
        ("-S", {"QueryRetrieveLevel": "STUDY"}, 0x0020000D),
        ("-S", {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.*"}, 0x0020000D),
        ("-S", {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.1", "SOPInstanceUID": "1.1.1.1"}, 0x00080018),
        ("-S", {"QueryRetrieveLevel": "SERIES", "SeriesInstanceUID": "1.1.1"}, 0x0020000D),
        (
            "-S",
            {"QueryRetrieveLevel": "SERIES", "StudyInstanceUID": ["1.1", "1.2"], "SeriesInstanceUID": "1.1.1"},
            0x0020000D,
        ),
        ("-P", {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.1"}, 0x00100020),
        ("-P", {"QueryRetrieveLevel": "PATIENT", "PatientID": "P*"}, 0x00100020),
        ("-P", {"QueryRetrieveLevel": "PATIENT", "PatientID": ""}, 0x00100020),
    ],
)
def test_keys_that_break_the_hierarchy_are_named(
    held: tuple[Scp, Path], model: str, keys: dict[str, Any], offending: int
) -> None:
    scp, folder = held
    data_set = Dataset()
    for keyword, value in keys.items():
        setattr(data_set, keyword, value)
    ((answer, _),) = move(scp.port, data_set, model=model)
    assert (answer.Status, answer.OffendingElement) == (0xA900, offending)
    with getting(scp.port, [(CT, [EXPLICIT])], Destination(0)) as association:
        ((answer, _),) = association.send_c_get(data_set, UID(GET[model]))
    assert (answer.Status, answer.OffendingElement) == (0xA900, offending)
    assert uids(folder) == set()


def test_the_sop_class_of_another_context_is_refused(held: tuple[Scp, Path]) -> None:
    scp, _ = held
    keys = identifier("STUDY", StudyInstanceUID="1.1")
    with associated(scp.port, [(MOVE["-S"], [EXPLICIT])]) as association:
        association._accepted_cx[1].abstract_syntax = UID(MOVE["-P"])
        ((answer, _),) = association.send_c_move(keys, "STATION", UID(MOVE["-P"]))
    assert answer.Status == 0x0122


@pytest.mark.parametrize("to", ["NOWHERE", "station", "DICOMNODE"])
def test_an_unknown_destination_is_a801(held: tuple[Scp, Path], to: str) -> None:
    scp, _ = held
    ((answer, _),) = move(scp.port, identifier("STUDY", StudyInstanceUID="1.1"), to)
    assert (answer.Status, answer.ErrorComment) == (0xA801, "the move destination is not known")


# pynetdicom leaves the socket of a refused connection to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_destination_out_of_reach_is_called_once_and_all_fail(tmp_path: Path) -> None:
    peers = [{"ae_title": "STATION", "host": "127.0.0.1", "port": free_port()}]
    with serving(tmp_path / "data", peers=peers) as scp:
        fill(scp)
        responses = move(scp.port, identifier("STUDY", StudyInstanceUID="1.1"))
    answer, uids = responses[-1]
    assert (answer.Status, counts(answer)) == (0xA702, [None, 0, 3, 0])
    assert failed(uids) == ["1.1.1.1", "1.1.1.2", "1.1.2.1"]


def test_counts_after_each_suboperation_and_the_failed_uids_at_the_end(tmp_path: Path) -> None:
    statuses = {"1.1.1.1": 0xB007, "1.1.1.2": 0x0000, "1.1.2.1": 0xA700, "1.2.1.1": 0xC000}
    with moving(tmp_path, [(CT, [EXPLICIT])]) as (scp, taken):
        taken.answer = statuses.__getitem__
        fill(scp)
        responses = move(scp.port, identifier("STUDY", StudyInstanceUID=["1.1", "1.2"]))
    assert [(answer.Status, counts(answer)) for answer, _ in responses] == [
        (0xFF00, [3, 0, 0, 1]),
        (0xFF00, [2, 1, 0, 1]),
        (0xFF00, [1, 1, 1, 1]),
        (0xB000, [None, 1, 2, 1]),
    ]
    assert failed(responses[-1][1]) == ["1.1.2.1", "1.2.1.1"]


def test_the_move_originator_is_named_and_we_call_as_whom_was_called(tmp_path: Path) -> None:
    with moving(tmp_path, [(CT, [EXPLICIT])]) as (scp, taken):
        fill(scp)
        assert move(scp.port, identifier("STUDY", StudyInstanceUID="1.1"))[-1][0].Status == 0x0000
    assert taken.originators == {("WORKSTATION", 7)}
    assert taken.callers == {"DICOMNODE"}


def test_a_destination_that_aborts_is_called_again_for_the_next_instance(tmp_path: Path) -> None:
    with moving(tmp_path, [(CT, [EXPLICIT])]) as (scp, taken):
        fill(scp)
        taken.abort_at = "1.1.1.2"
        responses = move(scp.port, identifier("STUDY", StudyInstanceUID="1.1"))
    answer, uids = responses[-1]
    assert (answer.Status, counts(answer)) == (0xB000, [None, 2, 1, 0])
    assert failed(uids) == ["1.1.1.2"]


def test_a_long_move_leaves_the_association_open(tmp_path: Path) -> None:
    with destination([(CT, [EXPLICIT])]) as taken:
        peers = [{"ae_title": "STATION", "host": "127.0.0.1", "port": taken.port}]
        with serving(tmp_path / "data", {"network_timeout_s": 0.5}, peers=peers) as scp:
            fill(scp)

            def answer_late(_: str) -> int:
                began = time.monotonic()
                wait_for(lambda: time.monotonic() - began > 0.7, "longer than the network timeout")
                return 0x0000

            taken.answer = answer_late
            with associated(scp.port, [(MOVE["-S"], [EXPLICIT])]) as association:
                for _ in range(2):
                    keys = identifier("SERIES", StudyInstanceUID="1.1", SeriesInstanceUID="1.1.2")
                    answer, _ = list(association.send_c_move(keys, "STATION", UID(MOVE["-S"])))[-1]
                    assert answer.Status == 0x0000


def send_cancel(association: Association, message_id: int, model: str) -> None:
    """Send a C-CANCEL, and return when it is on its way."""
    sent = threading.Event()

    def note(_: evt.Event) -> None:
        sent.set()

    association.bind(evt.EVT_DATA_SENT, note)
    association.send_c_cancel(message_id, query_model=UID(model))
    assert sent.wait(10)
    association.unbind(evt.EVT_DATA_SENT, note)


def test_c_cancel_stops_a_move_between_two_instances(tmp_path: Path) -> None:
    with moving(tmp_path, [(CT, [EXPLICIT])]) as (scp, taken):
        fill(scp)
        with associated(scp.port, [(MOVE["-S"], [EXPLICIT])]) as association:

            def cancel_at_the_second(uid: str) -> int:
                if uid == "1.1.1.2":
                    send_cancel(association, 7, MOVE["-S"])
                return 0xA700 if uid == "1.1.1.1" else 0x0000

            taken.answer = cancel_at_the_second
            keys = identifier("STUDY", StudyInstanceUID=["1.1", "1.2"])
            responses = list(association.send_c_move(keys, "STATION", UID(MOVE["-S"]), msg_id=7))
            answer, uids = responses[-1]
            assert (answer.Status, counts(answer)) == (0xFE00, [2, 1, 1, 0])
            assert failed(uids) == ["1.1.1.1"]
            taken.answer = lambda _: 0x0000
            responses = list(association.send_c_move(keys, "STATION", UID(MOVE["-S"]), msg_id=7))
            assert counts(responses[-1][0]) == [None, 4, 0, 0], "the next one of that message ID is not cancelled"


def test_c_cancel_stops_a_get_between_two_instances(tmp_path: Path) -> None:
    taken = Destination(0)
    with serving(tmp_path / "data") as scp:
        fill(scp)
        with getting(scp.port, [(CT, [EXPLICIT])], taken) as association:

            def cancel(_: str) -> int:
                send_cancel(association, 9, GET["-S"])
                return 0x0000

            taken.answer = cancel
            keys = identifier("STUDY", StudyInstanceUID=["1.1", "1.2"])
            responses = list(association.send_c_get(keys, UID(GET["-S"]), msg_id=9))
            assert (responses[-1][0].Status, counts(responses[-1][0])) == (0xFE00, [3, 1, 0, 0])
            assert set(taken.received) == {"1.1.1.1"}


def test_a_move_ends_with_the_association_that_asked_for_it(tmp_path: Path) -> None:
    with moving(tmp_path, [(CT, [EXPLICIT])]) as (scp, taken):
        fill(scp)
        with associated(scp.port, [(MOVE["-S"], [EXPLICIT])]) as association:

            def abort(_: str) -> int:
                association.abort(block=False)
                wait_for(lambda: not any(each.is_open for each in scp.server._snapshot()), "the abort received")
                return 0x0000

            taken.answer = abort
            keys = identifier("STUDY", StudyInstanceUID=["1.1", "1.2"])
            list(association.send_c_move(keys, "STATION", UID(MOVE["-S"]), msg_id=7))
        wait_for(lambda: not scp.server._snapshot(), "the association gone")
        assert set(taken.received) == {"1.1.1.1"}


def test_a_requestor_that_does_not_answer_a_suboperation_is_aborted(tmp_path: Path) -> None:
    taken = Destination(0)
    with serving(tmp_path / "data", {"dimse_timeout_s": 0.5}) as scp:
        fill(scp)
        with getting(scp.port, [(CT, [EXPLICIT])], taken) as association:

            def answer_never(_: str) -> int:
                wait_for(lambda: not scp.server._snapshot(), "the association gone")
                return 0x0000

            taken.answer = answer_never
            list(association.send_c_get(identifier("STUDY", StudyInstanceUID="1.1"), UID(GET["-S"])))
        assert set(taken.received) == {"1.1.1.1"}


def test_without_the_scp_role_nothing_can_be_got(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as scp:
        fill(scp)
        with associated(scp.port, [(GET["-S"], [EXPLICIT]), (CT, [EXPLICIT])]) as association:
            responses = list(association.send_c_get(identifier("STUDY", StudyInstanceUID="1.1"), UID(GET["-S"])))
    answer, uids = responses[-1]
    assert (answer.Status, counts(answer)) == (0xA702, [None, 0, 3, 0])
    assert failed(uids) == ["1.1.1.1", "1.1.1.2", "1.1.2.1"]


def test_the_roles_of_a_get_and_of_nothing_else_are_taken(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as scp, getting(scp.port, [(CT, [EXPLICIT])], Destination(0)) as association:
        by_uid = {str(cx.abstract_syntax): (cx.as_scu, cx.as_scp) for cx in association.accepted_contexts}
        assert by_uid == {GET["-P"]: (True, False), GET["-S"]: (True, False), CT: (False, True)}
