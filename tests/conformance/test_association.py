"""Associations, PS3.7 annex D and PS3.8 9.3: who is let in, and to what."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pynetdicom import AE

from dicom_node.dimse.presentation import STORAGE
from tests.dcmtk import dcmtk
from tests.scp import CT, EXPLICIT, IMPLICIT, STUDY_ROOT, Scp, associated, serving
from tests.servers import wait_for

VERIFICATION = "1.2.840.10008.1.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"


@pytest.fixture(scope="module")
def scp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scp]:
    with serving(tmp_path_factory.mktemp("scp") / "data") as scp:
        yield scp


@pytest.mark.parametrize("called", ["DICOMNODE", "SIMILAR", "  DICOMNODE ", "DICOMNODE       "])
def test_verification_answers_at_both_ae_titles_however_padded(scp: Scp, called: str) -> None:
    result = dcmtk("echoscu", "-v", "-aec", called, "127.0.0.1", str(scp.port))
    assert "Received Echo Response (Success)" in result.stdout + result.stderr


def test_an_unknown_called_ae_title_is_rejected_for_good(scp: Scp) -> None:
    result = dcmtk("echoscu", "-aec", "SOMEBODY", "127.0.0.1", str(scp.port))
    assert result.returncode != 0
    assert "Rejected Permanent" in result.stderr
    assert "Called AE Title Not Recognized" in result.stderr


def test_an_ae_title_of_sixteen_characters(tmp_path: Path) -> None:
    with serving(tmp_path / "data", {"ae_title": "ARCHIVE_OF_WARD7"}) as scp:
        assert dcmtk("echoscu", "-aec", "ARCHIVE_OF_WARD7", "127.0.0.1", str(scp.port)).returncode == 0
        assert dcmtk("echoscu", "-aec", "ARCHIVE_OF_WARD", "127.0.0.1", str(scp.port)).returncode != 0


def test_one_association_too_many_is_rejected_for_now_and_another_gets_in_later(tmp_path: Path) -> None:
    with serving(tmp_path / "data", {"maximum_associations": 2}) as scp:
        with ExitStack() as stack:
            for _ in range(2):
                first = stack.enter_context(associated(scp.port, [(VERIFICATION, [IMPLICIT])]))
                assert first.is_established
            result = dcmtk("echoscu", "-aec", "DICOMNODE", "127.0.0.1", str(scp.port))
            assert "Rejected Transient" in result.stderr
            assert "Local Limit Exceeded" in result.stderr
        wait_for(
            lambda: dcmtk("echoscu", "-aec", "DICOMNODE", "127.0.0.1", str(scp.port)).returncode == 0, "room again"
        )


def test_who_we_are(scp: Scp) -> None:
    with associated(scp.port, [(VERIFICATION, [IMPLICIT])]) as association:
        assert association.acceptor.implementation_class_uid == "2.25.211867294357243911763842306125018253611"
        assert association.acceptor.implementation_version_name == "DICOM_NODE_0_1"
        assert association.acceptor.maximum_length == 131_072


def test_queries_prefer_explicit_vr_and_storage_what_the_sender_prefers(scp: Scp) -> None:
    contexts = [
        (STUDY_ROOT, [BIG_ENDIAN, IMPLICIT, EXPLICIT]),
        (CT, [IMPLICIT, EXPLICIT]),
        (CT, ["1.2.840.10008.1.2.4.90"]),
        (CT, ["1.2.840.10008.1.2.6.1", "1.2.840.10008.1.2.5"]),
        (CT, ["1.2.840.10008.1.2.6.1"]),
        ("1.2.826.0.1.3680043.9.9999.1", [EXPLICIT]),
        ("1.2.840.10008.5.1.4.1.2.3.1", [EXPLICIT]),
    ]
    with associated(scp.port, contexts) as association:
        assert [(cx.context_id, str(cx.transfer_syntax[0])) for cx in association.accepted_contexts] == [
            (1, EXPLICIT),
            (3, IMPLICIT),
            (5, "1.2.840.10008.1.2.4.90"),
            (7, "1.2.840.10008.1.2.5"),
            (11, EXPLICIT),
        ]
        assert [(cx.context_id, cx.result) for cx in association.rejected_contexts] == [(9, 4), (13, 3)]


def test_every_storage_sop_class_of_the_standard_in_proposals_of_128_contexts(scp: Scp) -> None:
    uids = sorted(STORAGE)
    assert len(uids) > 190
    for start in range(0, len(uids), 128):
        some = uids[start : start + 128]
        with associated(scp.port, [(uid, [EXPLICIT]) for uid in some]) as association:
            assert {str(cx.abstract_syntax) for cx in association.accepted_contexts} == set(some)


@pytest.mark.parametrize("maximum_pdu", [0, 16, 129, 4095])
def test_the_peers_maximum_pdu_is_honoured(scp: Scp, maximum_pdu: int) -> None:
    with associated(scp.port, [(VERIFICATION, [IMPLICIT])], maximum_pdu=maximum_pdu) as association:
        assert association.send_c_echo().Status == 0x0000


def test_a_maximum_pdu_without_room_for_data_is_rejected(scp: Scp) -> None:
    ae = AE("WORKSTATION")
    ae.add_requested_context(VERIFICATION)
    association = ae.associate("127.0.0.1", scp.port, ae_title="DICOMNODE", max_pdu=7)
    assert association.is_rejected


def threads(scp: Scp) -> int:
    return scp.server.connections


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\x01\x00\x00",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x01\x00\xff\xff\xff\xff",
        b"\x04\x00\x00\x00\x00\x00",
        b"\x01\x00\x00\x00\x00\x0a0123456789",
        b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00",
    ],
    ids=["nothing", "cut-header", "http", "4-GiB-request", "data-first", "garbled-request", "abort"],
)
def test_what_is_no_association_leaves_nothing_behind(scp: Scp, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", scp.port)) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        client.settimeout(10)
        while client.recv(4096):
            pass
    wait_for(lambda: threads(scp) == 0, "the connection gone")
    assert dcmtk("echoscu", "-aec", "DICOMNODE", "127.0.0.1", str(scp.port)).returncode == 0


def test_a_silent_connection_is_closed_after_the_time_limit(tmp_path: Path) -> None:
    with (
        serving(tmp_path / "data", {"acse_timeout_s": 0.5}) as scp,
        socket.create_connection(("127.0.0.1", scp.port)) as client,
    ):
        client.settimeout(10)
        assert client.recv(1) == b""


def test_stopping_ends_open_associations_and_closes_the_port(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as scp:
        port = scp.port
        with associated(port, [(VERIFICATION, [IMPLICIT])]) as association:
            scp.server.stop(5.0)
            wait_for(lambda: association.is_aborted, "the association aborted")
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
