"""P-DATA-TF bodies and command sets, good and hostile."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from dicom_node.dimse.reception import Command, CommandField, NotServed, parse_command
from dicom_node.dimse.transport import parse_data_transfer
from tests.dicom import encoded

IMPLICIT = "1.2.840.10008.1.2"


def pdv(context_id: int, value: bytes) -> bytes:
    return struct.pack(">LB", len(value) + 1, context_id) + value


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(min_size=1, max_size=50)), max_size=5))
def test_what_is_joined_is_split_again(values: list[tuple[int, bytes]]) -> None:
    body = b"".join(pdv(context_id, value) for context_id, value in values)
    assert [(number, bytes(view)) for number, view in parse_data_transfer(body).values] == values


@given(st.binary(max_size=40))
def test_any_bytes_are_split_or_refused(body: bytes) -> None:
    try:
        values = parse_data_transfer(body).values
    except ValueError:
        return
    assert sum(len(value) + 5 for _, value in values) == len(body)


@pytest.mark.parametrize("body", [b"\0\0\0", b"\0\0\0\1\1", b"\xff\xff\xff\xff\1\2", pdv(1, b"\3abc")[:-1]])
def test_impossible_lengths_are_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="PDV"):
        parse_data_transfer(body)


def command(**elements: object) -> bytes:
    data_set = Dataset()
    for keyword, value in elements.items():
        setattr(data_set, keyword, value)
    return encoded(data_set, IMPLICIT)


def test_a_command_set() -> None:
    sent = command(
        AffectedSOPClassUID="1.2.3", CommandField=1, MessageID=7, CommandDataSetType=1, AffectedSOPInstanceUID="1.2.4"
    )
    assert parse_command(sent) == Command(CommandField.C_STORE, 7, "1.2.3", "1.2.4", True)
    sent = command(AffectedSOPClassUID="1.2.3", CommandField=0x0030, MessageID=9, CommandDataSetType=0x0101)
    assert parse_command(sent) == Command(CommandField.C_ECHO, 9, "1.2.3", "", False)
    sent = command(CommandField=0x0FFF, MessageIDBeingRespondedTo=9, CommandDataSetType=0x0101)
    assert parse_command(sent) == Command(CommandField.C_CANCEL, 9, "", "", False)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\0",
        command(CommandField=0x8001, MessageID=1, CommandDataSetType=1),
        command(CommandField=0x0077, MessageID=1, CommandDataSetType=1),
        command(CommandField=1, CommandDataSetType=1),
        command(MessageID=1, CommandDataSetType=1),
        command(CommandField=1, MessageID=1),
        command(CommandField=1, MessageID=1, CommandDataSetType=1)[:-1],
    ],
    ids=["empty", "one-byte", "response", "unknown", "no-id", "no-field", "no-data-set-type", "cut-off"],
)
def test_what_is_no_request_of_ours(sent: bytes) -> None:
    with pytest.raises(NotServed):
        parse_command(sent)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_command_or_refused(sent: bytes) -> None:
    try:
        parse_command(sent)
    except NotServed:
        return
