"""A conversation over a real socket: waits with deadlines, ends that stay, requests of our own on the association."""

import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dicom_node.dimse.association import ServedAssociation
from dicom_node.dimse.engine.channel import Channel, Ended
from dicom_node.dimse.engine.commands import CommandField, Element, encode
from dicom_node.dimse.engine.conversation import CommandReceived, Conversation, DataReceived, Limits, abort
from dicom_node.dimse.engine.violation import Violation
from tests.servers import wait_for

STORE = {
    Element.COMMAND_FIELD: CommandField.C_STORE, Element.MESSAGE_ID: 1, Element.PRIORITY: 0, Element.DATA_SET_TYPE: 1
}  # fmt: skip
STORED = {
    Element.COMMAND_FIELD: 0x8001, Element.RESPONDED_MESSAGE_ID: 1, Element.STATUS: 0, Element.DATA_SET_TYPE: 0x0101
}  # fmt: skip
CANCEL = {Element.COMMAND_FIELD: 0x0FFF, Element.RESPONDED_MESSAGE_ID: 9, Element.DATA_SET_TYPE: 0x0101}
ECHO = {Element.COMMAND_FIELD: 0x30, Element.MESSAGE_ID: 1, Element.DATA_SET_TYPE: 0x0101}


class Ends:
    """Both ends of an established association: ours, and the peer's bare socket."""

    def __init__(self) -> None:
        ours, self.peer = socket.socketpair()
        ours.setblocking(False)
        self.peer.settimeout(10)
        self.conversation = Conversation(Limits(4096, 5.0, 5.0, 0.5), time.monotonic())
        self.conversation.establish({1}, 4096)
        self.channel = Channel(ours, self.conversation, 0.5)

    def say(self, elements: dict[Element, Any]) -> None:
        """Send a command as the peer."""
        self.peer.sendall(message(encode(elements)))


def message(command: bytes) -> bytes:
    return struct.pack(">BxLLBB", 4, len(command) + 6, len(command) + 2, 1, 3) + command


@pytest.fixture
def ends() -> Iterator[Ends]:
    ends = Ends()
    yield ends
    ends.channel.close()
    ends.peer.close()


def test_a_request_of_ours_is_answered_on_the_same_association_and_a_cancel_between_is_kept(ends: Ends) -> None:
    association = ServedAssociation(ends.channel, ends.conversation, None, 4096)  # type: ignore[arg-type]
    ends.say(CANCEL)
    ends.say(STORED)
    assert association.request(1, STORE, b"d" * 10_000).status == 0
    assert association.is_cancelled(9)
    assert not association.is_cancelled(8)
    sent = b""
    while sent.count(b"d") < 10_000:
        sent += ends.peer.recv(65_536)
    assert sent.startswith(message(encode(STORE)))


def test_something_else_than_the_response_is_a_violation(ends: Ends) -> None:
    association = ServedAssociation(ends.channel, ends.conversation, None, 4096)  # type: ignore[arg-type]
    ends.say(ECHO)
    with pytest.raises(Violation):
        association.request(1, STORE, b"data")


def test_messages_go_in_order(ends: Ends) -> None:
    one = message(encode(ECHO))
    for _ in range(4):
        ends.channel.send(1, encode(ECHO))
    ends.channel.flush()
    assert ends.peer.recv(len(one) * 4, socket.MSG_WAITALL) == one * 4


def test_silence_ends_the_association(ends: Ends) -> None:
    with pytest.raises(Ended, match="silent"):
        ends.channel.next_event()


def test_a_peer_that_does_not_read_ends_the_association(ends: Ends) -> None:
    with pytest.raises(Ended, match="did not read"):
        ends.channel.send(1, encode(STORE), bytes(10_000_000))


def test_an_end_stays_an_end(ends: Ends) -> None:
    ends.peer.sendall(abort())
    for _ in range(2):
        with pytest.raises(Ended, match="aborted"):
            ends.channel.event_at_hand()


def test_a_cancelled_operation_learns_that_the_peer_has_gone(ends: Ends) -> None:
    association = ServedAssociation(ends.channel, ends.conversation, None, 4096)  # type: ignore[arg-type]
    assert not association.is_cancelled(1)
    ends.peer.close()
    assert association.is_cancelled(1)


def test_stopping_wakes_who_waits_for_a_request_and_nobody_within_one(ends: Ends) -> None:
    with ThreadPoolExecutor(1) as pool:
        ends.say(STORE)
        assert isinstance(ends.channel.next_event(), CommandReceived)
        within = pool.submit(ends.channel.next_event)
        ends.channel.interrupt_when_idle()
        ends.peer.sendall(struct.pack(">BxLLBB", 4, 7, 3, 1, 2) + b"x")
        assert isinstance(within.result(5), DataReceived)
        with pytest.raises(Ended, match="stopping"):
            ends.channel.next_event()


def test_an_interrupt_wakes_whoever_waits(ends: Ends) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ends.channel.next_event)
        wait_for(lambda: ends.channel._waits_idle, "waiting", interval_s=0.001)
        ends.channel.interrupt_when_idle()
        with pytest.raises(Ended, match="closed"):
            waiting.result(5)
