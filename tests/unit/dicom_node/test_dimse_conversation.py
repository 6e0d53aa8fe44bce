"""The protocol without its socket: one input whole, byte by byte and with a tail; limits, deadlines, hostile bytes."""

import itertools
import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_node.dimse.engine.commands import Element, encode
from dicom_node.dimse.engine.conversation import (
    NEED_DATA,
    Aborted,
    AssociationRequested,
    CommandReceived,
    Conversation,
    DataReceived,
    Limits,
    ReleaseRequested,
)
from dicom_node.dimse.engine.negotiation import (
    Acceptance,
    Answer,
    Proposal,
    Role,
    decode_request,
    encode_acceptance,
    encode_rejection,
)
from dicom_node.dimse.engine.violation import Violation

LIMITS = Limits(maximum_pdu_bytes=4096, handshake_s=15.0, message_s=60.0, network_s=30.0)
ECHO = encode({Element.COMMAND_FIELD: 0x30, Element.MESSAGE_ID: 1, Element.DATA_SET_TYPE: 0x0101})
STORE = encode({Element.COMMAND_FIELD: 1, Element.MESSAGE_ID: 2, Element.DATA_SET_TYPE: 1})
RELEASE = b"\x05\0\0\0\0\x04\0\0\0\0"
ABORT = b"\x07\0\0\0\0\x04\0\0\0\0"


def pdu(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxL", kind, len(body)) + body


def pdv(control: int, fragment: bytes, context_id: int = 1) -> bytes:
    return struct.pack(">LBB", len(fragment) + 2, context_id, control) + fragment


def data(*pdvs: bytes) -> bytes:
    return pdu(4, b"".join(pdvs))


def established() -> Conversation:
    conversation = Conversation(LIMITS, now=0.0)
    conversation.establish({1}, 4096)
    return conversation


def feed(conversation: Conversation, sent: bytes, step: int, now: float = 0.0) -> list[object]:
    """Feed `step` bytes at a time; return what happened, a data set as the bytes and the ends of its messages."""
    events: list[object] = []
    while sent:
        space = conversation.space()
        count = min(len(space), step, len(sent))
        space[:count], sent = sent[:count], sent[count:]
        conversation.received(count, now)
        while (event := conversation.next_event()) is not NEED_DATA:
            if isinstance(event, DataReceived):
                events += list(bytes(event.piece)) + (["end"] if event.last else [])
            elif isinstance(event, CommandReceived):
                events.append((event.context_id, event.command.field, event.command.message_id))
            else:
                events.append(event)
    return events


MESSAGES = (
    data(pdv(3, ECHO))
    + data(pdv(1, STORE[:7]), pdv(3, STORE[7:]), pdv(0, b"abc"))
    + data(pdv(0, b""))
    + data(pdv(0, b"d"), pdv(2, b""))
    + RELEASE
)
HAPPENED = [(1, 0x30, 1), (1, 1, 2), *b"abcd", "end", ReleaseRequested()]


@pytest.mark.parametrize("step", [1, 2, 5, 7, 13, 64, 10_000])
def test_messages_in_pieces_of_every_size(step: int) -> None:
    assert feed(established(), MESSAGES, step) == HAPPENED


@given(st.lists(st.integers(1, len(MESSAGES)), max_size=10))
def test_messages_cut_anywhere(cuts: list[int]) -> None:
    conversation = established()
    points = [0, *sorted(cuts), len(MESSAGES)]
    events: list[object] = []
    for start, end in itertools.pairwise(points):
        events += feed(conversation, MESSAGES[start:end], 10_000)
    assert events == HAPPENED


def test_a_tail_stays_for_the_next_event() -> None:
    conversation = established()
    assert feed(conversation, MESSAGES + data(pdv(3, ECHO))[:9], 10_000) == HAPPENED
    assert not conversation.is_idle
    assert feed(conversation, data(pdv(3, ECHO))[9:], 10_000) == [(1, 0x30, 1)]
    assert conversation.is_idle


def test_a_long_request_comes_through_whole_and_a_short_one_costs_little() -> None:
    body = bytes(range(256)) * 1000
    assert feed(Conversation(LIMITS, 0.0), pdu(1, body), 1000) == [AssociationRequested(body)]
    tracemalloc.start()
    waiting = [Conversation(LIMITS, 0.0) for _ in range(100)]
    assert tracemalloc.get_traced_memory()[0] / len(waiting) < 8192
    tracemalloc.stop()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x01\0\0\x10\0\x01",
        b"\x01\0\xff\xff\xff\xff",
        b"\x01\0\0\0\0\x0a",
        b"\x02\0\0\0\0\x04",
        b"\x05\0\0\0\0\x04",
        b"GET / HTTP/1.1\r\n",
        data(pdv(3, ECHO)),
    ],
    ids=["beyond-the-limit", "4-GiB", "too-short", "acceptance", "release", "http", "data"],
)
def test_before_the_request(sent: bytes) -> None:
    with pytest.raises(Violation):
        feed(Conversation(LIMITS, 0.0), sent, 10_000)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x04\0\0\0\0\0",
        b"\x04\0\0\0\x20\0",
        b"\x04\0\xff\xff\xff\xff",
        b"\x09\0\0\0\0\x04\0\0\0\0",
        b"\x05\0\0\0\0\x05\0\0\0\0\0",
        pdu(1, bytes(100)),
        pdu(4, b"\0\0\0\1\1\3"),
        pdu(4, b"\xff\xff\xff\xff\1\3"),
        pdu(4, pdv(3, ECHO) + b"\0\0\0"),
        data(pdv(3, ECHO, context_id=3)),
        data(pdv(2, b"data before any command")),
        data(pdv(3, b"")),
        data(pdv(3, STORE), pdv(3, STORE)),
        data(pdv(3, STORE), pdv(2, b"", context_id=3)),
        data(pdv(3, STORE)) + RELEASE,
        data(pdv(1, bytes(3000))) * 6,
    ],
    ids=[
        "empty-data", "longer-than-negotiated", "4-GiB", "unknown-kind", "long-release", "second-request",
        "pdv-of-1", "pdv-of-4-GiB", "cut-pdv", "unknown-context", "data-first", "empty-command", "two-commands",
        "other-context", "release-within", "endless-command",
    ],
)  # fmt: skip
@pytest.mark.parametrize("step", [1, 10_000])
def test_what_is_against_the_protocol(sent: bytes, step: int) -> None:
    with pytest.raises(Violation):
        feed(established(), sent, step)


def test_an_abort_is_told_at_any_time() -> None:
    assert feed(Conversation(LIMITS, 0.0), ABORT, 1) == [Aborted()]
    assert feed(established(), data(pdv(3, STORE), pdv(0, b"x")) + ABORT, 1)[-1] == Aborted()


@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([MESSAGES, MESSAGES[:30], RELEASE])), max_size=6))
def test_any_bytes_are_events_or_refused(pieces: list[bytes]) -> None:
    conversation = established()
    try:
        for piece in pieces:
            feed(conversation, piece, 10_000)
    except Violation:
        return


@given(st.binary(max_size=40), st.integers(0, 255), st.integers(0, 3), st.integers(0, 60))
def test_a_flipped_message_is_events_or_refused(tail: bytes, byte: int, control: int, at: int) -> None:
    sent = bytearray(data(pdv(control, ECHO)) + data(pdv(3, STORE), pdv(2, tail)))
    sent[at] = byte
    try:
        feed(established(), bytes(sent), 7)
    except Violation:
        return


def test_a_data_set_of_any_size_passes_through_in_little_memory() -> None:
    conversation = established()
    feed(conversation, data(pdv(3, STORE)), 10_000)
    piece = data(pdv(0, bytes(4000))) * 10
    tracemalloc.start()
    received = 0
    for _ in range(500):
        space = conversation.space()
        space[: len(piece)] = piece
        conversation.received(len(piece), 0.0)
        while isinstance(event := conversation.next_event(), DataReceived):
            received += len(event.piece)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert received == 20_000_000
    assert peak < 1 << 20


def test_the_handshake_has_one_deadline_however_much_comes() -> None:
    conversation = Conversation(LIMITS, now=100.0)
    assert conversation.deadline == 115.0
    feed(conversation, b"\x01", 1, now=110.0)
    assert conversation.deadline == 115.0


def test_silence_has_a_deadline_from_the_last_word() -> None:
    conversation = established()
    feed(conversation, data(pdv(3, ECHO)), 10_000, now=100.0)
    assert conversation.deadline == 130.0
    conversation.heard(150.0)
    assert conversation.deadline == 180.0


def test_a_pdu_has_a_deadline_from_its_first_byte() -> None:
    conversation = established()
    feed(conversation, b"\x04", 1, now=100.0)
    feed(conversation, b"\0\0", 1, now=120.0)
    assert conversation.deadline == 130.0


def test_a_message_has_a_deadline_that_grows_with_what_has_come() -> None:
    conversation = established()
    for second in range(len(STORE)):
        feed(conversation, data(pdv(1, STORE[second : second + 1])), 10_000, now=100.0 + second)
    feed(conversation, data(pdv(3, b"")), 10_000, now=155.0)
    assert 160.0 < conversation.deadline < 162.0
    feed(conversation, data(pdv(0, bytes(4000))) * 10, 100_000, now=156.0)
    assert conversation.deadline == 186.0


@pytest.mark.parametrize(("peer", "sizes"), [(16, [10] * 4 + [1]), (4096, [41]), (0, [41])])
def test_messages_are_cut_to_what_the_peer_takes(peer: int, sizes: list[int]) -> None:
    conversation = Conversation(LIMITS, 0.0)
    conversation.establish({1}, peer)
    sent = b"".join(conversation.message(1, bytes(41)))
    found = []
    while sent:
        kind, length = struct.unpack_from(">BxL", sent)
        assert kind == 4
        found.append(length - 6)
        assert sent[11] == (3 if length == len(sent) - 6 else 1)
        sent = sent[6 + length :]
    assert found == sizes


# Negotiation


def item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


FIXED = struct.pack(">H2x16s16s32x", 1, b" NODE".ljust(16), b"SCANNER".ljust(16))
CONTEXT = item(0x20, b"\1\0\0\0" + item(0x30, b"1.2.3") + item(0x40, b"1.2.4\0") + item(0x40, b"1.2.5"))
USER = item(0x50, item(0x51, b"\0\0\x40\0") + item(0x54, b"\0\x051.2.3\0\1") + item(0x99, b"?"))


def test_a_request() -> None:
    asked = decode_request(FIXED + item(0x10, b"1.2.840.10008.3.1.1.1") + CONTEXT + USER)
    assert (asked.called_ae_title, asked.calling_ae_title, asked.maximum_pdu_bytes) == ("NODE", "SCANNER", 16384)
    assert asked.proposals == (Proposal(1, "1.2.3", ("1.2.4", "1.2.5")),)
    assert asked.roles == {"1.2.3": Role(scu=False, scp=True)}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        FIXED[:-1],
        FIXED + b"\x20",
        FIXED + CONTEXT[:-1],
        FIXED + CONTEXT + CONTEXT,
        FIXED + item(0x20, b"\2\0\0\0" + item(0x30, b"1.2.3")),
        FIXED + item(0x20, b"\1\0\0\0"),
        FIXED + item(0x20, b"\1\0\0\0" + item(0x30, b"1.2.\xff")),
        FIXED + item(0x50, item(0x51, b"\0")),
        FIXED + item(0x50, item(0x54, b"\0\xff1")),
        FIXED + item(0x99, b"") * 20_000,
    ],
    ids=[
        "empty", "cut", "cut-item", "cut-context", "same-id", "even-id", "no-abstract-syntax", "no-ascii",
        "short-length", "lying-role", "endless",
    ],
)  # fmt: skip
def test_what_is_no_request(body: bytes) -> None:
    with pytest.raises(Violation):
        decode_request(body)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_refused(tail: bytes) -> None:
    try:
        decode_request(FIXED + tail)
    except Violation:
        return


def test_the_answer_is_what_pynetdicom_understands() -> None:
    from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ

    sent = encode_acceptance(
        Acceptance("NODE", "SCANNER", [Answer(1, 0, "1.2.3", "1.2.4"), Answer(3, 3, "1.2.6", "1.2.5")], 131072,
                   "1.2.9", "VERSION", {"1.2.3": Role(scu=False, scp=True)})
    )  # fmt: skip
    accepted = A_ASSOCIATE_AC()
    accepted.decode(sent)
    answers = accepted.presentation_context
    assert [(answer.context_id, answer.result, answer.transfer_syntax) for answer in answers] == [
        (1, 0, "1.2.4"),
        (3, 3, "1.2.5"),
    ]
    assert accepted.user_information.maximum_length == 131072
    assert accepted.encode() == sent
    rejected = A_ASSOCIATE_RJ()
    rejected.decode(encode_rejection(2, 3, 2))
    assert (rejected.result, rejected.source, rejected.reason_diagnostic) == (2, 3, 2)
