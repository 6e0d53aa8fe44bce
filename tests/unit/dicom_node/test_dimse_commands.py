"""Command sets, good and hostile; pydicom's encoder is the twin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from dicom_node.dimse.engine.commands import Command, CommandField, Element, Violation, decode, encode
from tests.dicom import encoded

IMPLICIT = "1.2.840.10008.1.2"


def command(**elements: object) -> bytes:
    data_set = Dataset()
    for keyword, value in elements.items():
        setattr(data_set, keyword, value)
    return encoded(data_set, IMPLICIT)


def parts(command: Command) -> tuple[int, int, str, str, bool]:
    return (
        command.field, command.message_id, command.sop_class_uid, command.sop_instance_uid, command.has_data_set
    )  # fmt: skip


def test_a_command_set() -> None:
    sent = command(
        AffectedSOPClassUID="1.2.3", CommandField=1, MessageID=7, CommandDataSetType=1, AffectedSOPInstanceUID="1.2.4"
    )
    assert parts(decode(sent)) == (CommandField.C_STORE, 7, "1.2.3", "1.2.4", True)
    sent = command(AffectedSOPClassUID="1.2.3", CommandField=0x0030, MessageID=9, CommandDataSetType=0x0101)
    assert parts(decode(sent)) == (CommandField.C_ECHO, 9, "1.2.3", "", False)
    sent = command(CommandField=0x0FFF, MessageIDBeingRespondedTo=9, CommandDataSetType=0x0101)
    assert parts(decode(sent)) == (CommandField.C_CANCEL, 9, "", "", False)
    sent = command(CommandField=0x8001, MessageIDBeingRespondedTo=3, CommandDataSetType=0x0101, Status=0xA700)
    assert (decode(sent).is_response, decode(sent).message_id, decode(sent).status) == (True, 3, 0xA700)
    sent = command(CommandField=0x0021, MessageID=3, CommandDataSetType=1, MoveDestination="WARD 7 ", Priority=2)
    assert decode(sent).text(Element.MOVE_DESTINATION) == "WARD 7"
    assert decode(sent).number(Element.PRIORITY) == 2


def test_encoding_is_that_of_pydicom() -> None:
    ours = encode(
        {
            Element.STATUS: 0xA900,
            Element.ERROR_COMMENT: "odd",
            Element.OFFENDING_ELEMENT: 0x00080052,
            Element.AFFECTED_SOP_CLASS_UID: "1.2.3",
            Element.COMMAND_FIELD: 0x8020,
            Element.RESPONDED_MESSAGE_ID: 7,
            Element.DATA_SET_TYPE: 0x0101,
        }
    )
    twin = command(
        AffectedSOPClassUID="1.2.3", CommandField=0x8020, MessageIDBeingRespondedTo=7, CommandDataSetType=0x0101,
        Status=0xA900, OffendingElement=[0x00080052], ErrorComment="odd",
    )  # fmt: skip
    assert ours[12:] == twin
    assert ours[:12] == command(CommandGroupLength=len(twin))


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\0",
        command(CommandField=0x8001, MessageID=1, CommandDataSetType=1),
        command(CommandField=1, CommandDataSetType=1),
        command(MessageID=1, CommandDataSetType=1),
        command(CommandField=1, MessageID=1),
        command(CommandField=1, MessageID=1, CommandDataSetType=1)[:-1],
        command(CommandField=1, MessageID=1, CommandDataSetType=1, PatientID="1"),
        b"\0\0\0\1\0\0\0\0" + command(MessageID=1, CommandDataSetType=1),
        b"\0\0\0\1\xff\xff\xff\xff",
    ],
    ids=[
        "empty", "one-byte", "response-to-nothing", "no-id", "no-field", "no-data-set-type", "cut-off",
        "another-group", "empty-field", "4-GiB",
    ],
)  # fmt: skip
def test_what_is_no_command(sent: bytes) -> None:
    with pytest.raises(Violation):
        decode(sent)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_command_or_refused(sent: bytes) -> None:
    try:
        decode(sent)
    except Violation:
        return


@given(
    st.dictionaries(
        st.sampled_from([e for e in Element if e not in (Element.GROUP_LENGTH, Element.OFFENDING_ELEMENT)]),
        st.integers(0, 65535),
    )
)
def test_what_is_encoded_is_decoded_again(numbers: dict[Element, int]) -> None:
    elements = {e: str(n) if "UID" in e.name or "TITLE" in e.name or e.name in TEXTS else n for e, n in numbers.items()}
    base = {Element.COMMAND_FIELD: 1, Element.MESSAGE_ID: 1, Element.DATA_SET_TYPE: 1}
    whole = base | elements | {Element.COMMAND_FIELD: 1}
    assert dict(decode(encode(whole)).elements) == whole


TEXTS = {"MOVE_DESTINATION", "ERROR_COMMENT"}
