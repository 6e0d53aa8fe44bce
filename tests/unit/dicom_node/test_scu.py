"""The node as a client: against DCMTK's storescp, and a server that says what it was sent."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pynetdicom import AE, evt

from dicom_node.dimse import scu
from dicom_node.dimse.scu import Peer, Sent
from dicom_node.errors import Rejected, Unavailable
from dicom_node.part10 import read_contents
from tests.servers import accepts, free_port, require, wait_for

STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"


def bundled(name: str) -> Path:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    return Path(path)


def data_set_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        start = read_contents(file).data_set_offset
    return path.read_bytes()[start:]


@contextmanager
def serving(entity: AE, handlers: list[Any]) -> Iterator[Peer]:
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield Peer("127.0.0.1", server.server_address[1], "PEER", "US", 5)
    finally:
        server.shutdown()


@pytest.fixture
def storescp(tmp_path: Path) -> Iterator[Peer]:
    """DCMTK's receiver, which keeps data sets as they come, by SOP Instance UID, in `tmp_path/received`."""
    (tmp_path / "received").mkdir()
    port = free_port()
    command = [require("storescp"), "-aet", "PEER", "+xa", "+B", "-uf", "-od", str(tmp_path / "received"), str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: accepts(port), "storescp listening")
            yield Peer("127.0.0.1", port, "PEER", "US", 5)
        finally:
            process.terminate()


def test_echo_gives_the_status(storescp: Peer) -> None:
    assert scu.echo(storescp) == 0


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm", "JPEG-lossy.dcm", "ExplVR_BigEnd.dcm"]
)
def test_a_data_set_arrives_byte_for_byte(storescp: Peer, tmp_path: Path, name: str) -> None:
    path = bundled(name)
    assert list(scu.store(storescp, [path])) == [Sent(path, 0)]
    (received,) = (tmp_path / "received").iterdir()
    assert data_set_bytes(received) == data_set_bytes(path)
    assert dcmread(received).file_meta.TransferSyntaxUID == dcmread(path).file_meta.TransferSyntaxUID


def test_what_cannot_be_sent_is_said_and_the_rest_goes(storescp: Peer, tmp_path: Path) -> None:
    text, absent = tmp_path / "text", tmp_path / "absent"
    text.write_text("nothing")
    good = bundled("CT_small.dcm")
    assert list(scu.store(storescp, [text, absent, good])) == [
        Sent(text, None, "not a DICOM file"),
        Sent(absent, None, "No such file or directory"),
        Sent(good, 0),
    ]


def test_a_bare_data_set_is_sent_too(storescp: Peer, tmp_path: Path) -> None:
    path = bundled("rtstruct.dcm")
    assert list(scu.store(storescp, [path])) == [Sent(path, 0)]
    (received,) = (tmp_path / "received").iterdir()
    assert data_set_bytes(received) == path.read_bytes()


def test_the_data_set_says_what_is_sent_not_the_file_meta_information(storescp: Peer, tmp_path: Path) -> None:
    data_set = dcmread(bundled("CT_small.dcm"))
    uid = str(data_set.SOPInstanceUID)
    data_set.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    data_set.save_as(tmp_path / "anonymised")
    assert [sent.status for sent in scu.store(storescp, [tmp_path / "anonymised"])] == [0]
    (received,) = (tmp_path / "received").iterdir()
    assert str(dcmread(received).file_meta.MediaStorageSOPInstanceUID) == uid


def test_a_file_that_ends_the_association_does_not_keep_the_others_back(storescp: Peer, tmp_path: Path) -> None:
    good, odd = bundled("CT_small.dcm"), tmp_path / "odd"
    odd.write_bytes(good.read_bytes()[:-1])  # DCMTK aborts over a fragment of odd length
    assert list(scu.store(storescp, [odd, good])) == [Sent(odd, None, "the peer ended the association"), Sent(good, 0)]


def test_a_status_of_the_peer_is_passed_on() -> None:
    def refuse(_: evt.Event) -> Dataset:
        status = Dataset()
        status.Status = 0xA700
        status.ErrorComment = "disk full"
        return status

    entity = AE("PEER")
    entity.add_supported_context("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1")
    with serving(entity, [(evt.EVT_C_STORE, refuse)]) as peer:
        (sent,) = scu.store(peer, [bundled("CT_small.dcm")])
        assert (sent.status, sent.reason, sent.stored) == (0xA700, " (disk full)", False)


def test_a_kind_the_peer_does_not_take_is_said() -> None:
    entity = AE("PEER")
    entity.add_supported_context("1.2.840.10008.1.1")
    path = bundled("CT_small.dcm")
    with serving(entity, []) as peer:
        reason = "PEER does not take this SOP class in this transfer syntax"
        assert list(scu.store(peer, [path])) == [Sent(path, None, reason)]


def test_a_warning_counts_as_stored() -> None:
    path = Path("file")
    assert [Sent(path, status).stored for status in (0x0000, 0xB000, 0xB007, 0xA700, 0xC000, None)] == [
        *(True, True, True),
        *(False, False, False),
    ]


def test_more_kinds_than_one_association_can_propose_are_all_sent(
    storescp: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scu, "MAXIMUM_CONTEXTS", 2)
    paths = [bundled(name) for name in ("CT_small.dcm", "MR_small.dcm", "JPEG2000.dcm", "MR_small_RLE.dcm")]
    assert [sent.status for sent in scu.store(storescp, paths)] == [0, 0, 0, 0]


@contextmanager
def answering(*responses: tuple[int, Dataset | None]) -> Iterator[Peer]:
    """A peer that answers every study query with these responses."""

    def answer(_: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        yield from responses

    entity = AE("PEER")
    entity.require_called_aet = True
    entity.add_supported_context(STUDY_ROOT_FIND)
    with serving(entity, [(evt.EVT_C_FIND, answer)]) as peer:
        yield peer


def identifier(**elements: str) -> Dataset:
    data_set = Dataset()
    for keyword, value in {"QueryRetrieveLevel": "STUDY", **elements}.items():
        setattr(data_set, keyword, value)
    return data_set


def test_matches_come_in_order() -> None:
    rows = [identifier(StudyInstanceUID=uid) for uid in ("1.3", "1.1", "1.2")]
    with answering((0xFF00, rows[0]), (0xFF01, rows[1]), (0xFF00, rows[2])) as peer:
        found = scu.find(peer, identifier(StudyInstanceUID=""), "study")
        assert [match.StudyInstanceUID for match in found] == ["1.3", "1.1", "1.2"]


def test_a_failed_query_is_rejected_with_its_status() -> None:
    with answering((0xA900, None)) as peer, pytest.raises(Rejected, match="the query ended with status A900"):
        list(scu.find(peer, identifier(), "study"))


def test_a_model_the_peer_does_not_know_is_rejected() -> None:
    with answering() as peer, pytest.raises(Rejected, match="accepted no presentation context"):
        list(scu.find(peer, identifier(), "patient"))


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # pynetdicom forgets a socket that did not connect
def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="no association with PEER"):
        scu.echo(Peer("127.0.0.1", free_port(), "PEER", "US", 2))


def test_a_rejected_association_says_why() -> None:
    with answering() as peer:
        stranger = Peer(peer.host, peer.port, "NOBODY", "US", 5)
        with pytest.raises(Unavailable, match=r"rejected the association: .*[Cc]alled AE title not recogni"):
            scu.echo(stranger)


def test_an_impossible_ae_title_is_rejected() -> None:
    with pytest.raises(Rejected, match="an AE title has 1 to 16"):
        scu.echo(Peer("127.0.0.1", free_port(), "SEVENTEEN_LETTERS", "US", 2))
