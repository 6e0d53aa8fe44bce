"""Messages, PS3.7 6.3: what is no request of ours ends that association, and nothing else."""

from collections.abc import Iterator

import pytest
from pydicom import Dataset
from pynetdicom.pdu_primitives import P_DATA

from tests.dcmtk import dcmtk
from tests.dicom import encoded
from tests.scp import CT, EXPLICIT, IMPLICIT, Scp, associated, serving
from tests.servers import wait_for


@pytest.fixture(scope="module")
def scp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scp]:
    with serving(tmp_path_factory.mktemp("scp") / "data") as scp:
        yield scp


def command(**elements: object) -> bytes:
    data_set = Dataset()
    for keyword, value in elements.items():
        setattr(data_set, keyword, value)
    return encoded(data_set, IMPLICIT)


STORE = command(
    AffectedSOPClassUID=CT, CommandField=1, MessageID=1, Priority=0, CommandDataSetType=1, AffectedSOPInstanceUID="1.2"
)
FIND = command(AffectedSOPClassUID=CT, CommandField=0x20, MessageID=1, Priority=0, CommandDataSetType=1)


@pytest.mark.parametrize(
    "values",
    [
        [(1, b"\x03" + command(CommandField=0x8001, MessageIDBeingRespondedTo=1, Status=0, CommandDataSetType=0x0101))],
        [(1, b"\x03" + command(CommandField=0x0130, MessageID=1, CommandDataSetType=1))],
        [(1, b"\x03")],
        [(1, b"\x02data before any command")],
        [(99, b"\x03" + STORE)],
        [(1, b"\x03" + STORE), (3, b"\x00data of another context")],
        [(1, b"\x03" + STORE), (1, b"\x03" + STORE)],
        [(1, b"\x01" + bytes(10_000)), (1, b"\x01" + bytes(10_000))],
        [(1, b"\x03" + FIND), *[(1, b"\x00" + bytes(100_000))] * 11],
    ],
    ids=[
        "response", "n-action", "empty-command", "data-first", "unknown-context", "other-context", "two-commands",
        "endless-command", "endless-identifier",
    ],
)  # fmt: skip
def test_what_is_no_request_aborts_the_association(scp: Scp, values: list[tuple[int, bytes]]) -> None:
    with associated(scp.port, [(CT, [EXPLICIT]), ("1.2.840.10008.1.1", [IMPLICIT])]) as association:
        for value in values:
            data = P_DATA()
            data.presentation_data_value_list.append(value)
            association.dul.send_pdu(data)
        wait_for(lambda: association.is_aborted, "the association aborted")
    wait_for(lambda: scp.files == [], "nothing left behind")
    assert dcmtk("echoscu", "-aec", "DICOMNODE", "127.0.0.1", str(scp.port)).returncode == 0


def test_a_message_in_pieces_of_every_size(scp: Scp) -> None:
    with associated(scp.port, [("1.2.840.10008.1.1", [IMPLICIT])]) as association:
        echo = command(
            AffectedSOPClassUID="1.2.840.10008.1.1", CommandField=0x30, MessageID=5, CommandDataSetType=0x0101
        )
        data = P_DATA()
        for start in range(len(echo)):
            last = 2 if start == len(echo) - 1 else 0
            data.presentation_data_value_list.append((1, bytes([1 | last]) + echo[start : start + 1]))
        association._reactor_checkpoint.clear()
        association.dul.send_pdu(data)
        _, response = association.dimse.get_msg(block=True)
        association._reactor_checkpoint.set()
        assert response is not None
        assert (response.MessageIDBeingRespondedTo, response.Status) == (5, 0)
