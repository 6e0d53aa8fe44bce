"""One association from the acceptor's side: admitted, negotiated, its requests served in order.

Runs on a thread of its own over a channel of the engine. What a request means is up to `Services`; here it is only
taken in and answered. The rule: whatever ends the association, no unfinished data set stays behind.
"""

import logging
import mmap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from dicom_node import metrics
from dicom_node.dimse import presentation, status
from dicom_node.dimse.destinations import MAXIMUM_MESSAGE_ID, RequestorDestination
from dicom_node.dimse.encoding import encode
from dicom_node.dimse.engine import commands
from dicom_node.dimse.engine.channel import Channel, Ended
from dicom_node.dimse.engine.commands import Command, CommandField, Element, Value
from dicom_node.dimse.engine.conversation import (
    CommandReceived,
    Conversation,
    DataReceived,
    ReleaseRequested,
    release_response,
)
from dicom_node.dimse.engine.negotiation import (
    Acceptance,
    Answer,
    AssociationRequest,
    Role,
    decode_request,
    encode_acceptance,
    encode_rejection,
)
from dicom_node.dimse.engine.violation import Violation
from dicom_node.dimse.handlers import echo
from dicom_node.dimse.handlers.find import FindRequest, Response
from dicom_node.dimse.handlers.store import Reception
from dicom_node.dimse.presentation import FIND_MODELS, GET_MODELS, MOVE_MODELS, Result
from dicom_node.dimse.status import Status
from dicom_node.dimse.suboperations import RetrieveRequest, RetrieveResponse
from dicom_node.errors import Unavailable
from dicom_node.ingest import Claimed
from dicom_node.instance import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, is_uid
from dicom_node.retrieve import Sendable

logger = logging.getLogger(__name__)

MINIMUM_PEER_PDU_BYTES = 16
MAXIMUM_IDENTIFIER_BYTES = 1 << 20
LOW_PRIORITY = 2
COUNTS = {
    "NumberOfRemainingSuboperations": Element.REMAINING_SUBOPERATIONS,
    "NumberOfCompletedSuboperations": Element.COMPLETED_SUBOPERATIONS,
    "NumberOfFailedSuboperations": Element.FAILED_SUBOPERATIONS,
    "NumberOfWarningSuboperations": Element.WARNING_SUBOPERATIONS,
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an association is not accepted, PS3.8 table 9-21; `outcome` names it in the metrics."""

    result: int
    source: int
    reason: int
    outcome: str

    @property
    def encoded(self) -> bytes:
        """The A-ASSOCIATE-RJ PDU."""
        return encode_rejection(self.result, self.source, self.reason)


CALLED_AE_TITLE_UNKNOWN = Refusal(1, 1, 7, "called_ae_title_unknown")
LIMIT_EXCEEDED = Refusal(2, 3, 2, "limit_exceeded")
PDU_TOO_SMALL = Refusal(1, 1, 1, "pdu_too_small")
PROTOCOL_VERSION_UNKNOWN = Refusal(1, 2, 2, "protocol_version_unknown")


class Services(Protocol):
    """What the associations of a server are for."""

    def admit(self, association: "ServedAssociation", called_ae_title: str) -> Refusal | None:
        """Count an association in, or say why not."""

    def leave(self, association: "ServedAssociation") -> None:
        """Count an association out; also one that was never admitted."""

    def receive(self, claimed: Claimed, abstract_syntax: str) -> Reception:
        """Start to receive an instance."""

    def find(self, request: FindRequest) -> Iterator[Response]:
        """Answer a query: pending statuses with rows, then one final status."""

    def move(self, request: RetrieveRequest) -> Iterator[RetrieveResponse]:
        """Send instances to a peer: pending responses with counts, then the final one."""

    def get(self, request: RetrieveRequest, requestor: RequestorDestination) -> Iterator[RetrieveResponse]:
        """Send instances to the requestor: pending responses with counts, then the final one."""


class ServedAssociation:
    """A connection whose A-ASSOCIATE-RQ has come."""

    def __init__(
        self, channel: Channel, conversation: Conversation, services: Services, maximum_pdu_bytes: int
    ) -> None:
        """Prepare to serve the peer at the other end of `channel`; `run` does."""
        self._channel = channel
        self._conversation = conversation
        self._services = services
        self._maximum_pdu_bytes = maximum_pdu_bytes
        self._contexts: dict[int, Answer] = {}
        self._asked: AssociationRequest | None = None
        self._roles: dict[str, Role] = {}
        self._cancelled: set[int] = set()
        self._sent_message_id = 0

    @property
    def calling_ae_title(self) -> str:
        """The peer's AE title, without padding."""
        return "" if self._asked is None else self._asked.calling_ae_title

    @property
    def called_ae_title(self) -> str:
        """The AE title that the peer called, without padding."""
        return "" if self._asked is None else self._asked.called_ae_title

    def stop_when_idle(self) -> None:
        """End the association as soon as no request is being received or served; for any thread."""
        self._channel.interrupt_when_idle()

    def abort(self) -> None:
        """End the association as soon as it waits for the peer; for any thread."""
        self._channel.interrupt()

    def run(self, encoded_request: bytes) -> None:
        """Serve the association to its end; the thread's body."""
        try:
            if self._negotiate(decode_request(encoded_request)):
                self._serve_requests()
                self._channel.write(release_response())
            self._channel.flush()
        except Ended as end:
            logger.debug("an association ended: %s", end)
            self._channel.abort()
        except Violation as violation:
            logger.info("aborted an association: %s", violation)
            self._channel.abort()
        except Exception:
            logger.exception("an association ended by an error of ours")
            self._channel.abort()
        finally:
            self._channel.close()
            self._services.leave(self)

    # Negotiation

    def _negotiate(self, asked: AssociationRequest) -> bool:
        self._asked = asked
        refusal = self._refusal(asked)
        metrics.ASSOCIATIONS.labels("accepted" if refusal is None else refusal.outcome).inc()
        if refusal is not None:
            self._channel.write(refusal.encoded)
            return False
        answers = [
            _answered(proposal.context_id, proposal.abstract_syntax, proposal.transfer_syntaxes)
            for proposal in asked.proposals
        ]
        self._roles = {uid: role for uid, asked_role in asked.roles.items() if (role := _role(uid, asked_role))}
        self._contexts = {answer.context_id: answer for answer in answers if answer.result == Result.ACCEPTANCE}
        self._conversation.establish(frozenset(self._contexts), asked.maximum_pdu_bytes)
        self._channel.write(
            encode_acceptance(
                Acceptance(
                    called_ae_title=asked.called_ae_title,
                    calling_ae_title=asked.calling_ae_title,
                    answers=answers,
                    maximum_pdu_bytes=self._maximum_pdu_bytes,
                    implementation_class_uid=IMPLEMENTATION_CLASS_UID,
                    implementation_version_name=IMPLEMENTATION_VERSION_NAME,
                    roles=self._roles,
                )
            )
        )
        return True

    def _refusal(self, asked: AssociationRequest) -> Refusal | None:
        if not asked.protocol_version & 1:
            return PROTOCOL_VERSION_UNKNOWN
        # No room for a fragment beside the headers; 0 means without limit.
        if 0 < asked.maximum_pdu_bytes < MINIMUM_PEER_PDU_BYTES:
            return PDU_TOO_SMALL
        return self._services.admit(self, asked.called_ae_title)

    # Requests

    def _serve_requests(self) -> None:
        """Serve requests until the peer releases the association."""
        while not isinstance(event := self._channel.next_event(), ReleaseRequested):
            if not isinstance(event, CommandReceived):
                raise Violation("a data set without a command")
            # A C-CANCEL that came before its request was meant for an earlier operation of the same message ID.
            self._cancelled.discard(event.command.message_id)
            self._serve(event)

    def _serve(self, request: CommandReceived) -> None:
        match request.command.field:
            case CommandField.C_ECHO:
                self._serve_echo(request)
            case CommandField.C_STORE:
                self._serve_store(request)
            case CommandField.C_FIND:
                self._serve_find(request)
            case CommandField.C_MOVE | CommandField.C_GET:
                self._serve_retrieve(request)
            case CommandField.C_CANCEL:
                return  # what it was for has been answered already
            case _:
                raise Violation("no request that is served here")

    def _serve_echo(self, request: CommandReceived) -> None:
        if request.command.has_data_set:
            self._receive_data_set()
        self._answer(request, echo.answer())

    def _serve_store(self, request: CommandReceived) -> None:
        context = self._contexts[request.context_id]
        claimed = Claimed(
            sop_class_uid=request.command.sop_class_uid,
            sop_instance_uid=request.command.sop_instance_uid,
            transfer_syntax_uid=context.transfer_syntax,
            calling_ae_title=self.calling_ae_title,
        )
        reception = self._services.receive(claimed, context.abstract_syntax)
        try:
            if request.command.has_data_set:
                self._pass_data_set(reception.write)
            answer = reception.finish()
        finally:
            reception.discard()
        self._answer(request, answer)

    def _serve_find(self, request: CommandReceived) -> None:
        context = self._contexts[request.context_id]
        identifier = self._receive_data_set() if request.command.has_data_set else b""
        if not self._fits_context(request, FIND_MODELS):
            self._answer(request, status.SOP_CLASS_NOT_SUPPORTED)
            return
        find = FindRequest(
            sop_class_uid=request.command.sop_class_uid,
            transfer_syntax_uid=context.transfer_syntax,
            identifier=identifier,
            called_ae_title=self.called_ae_title,
            is_cancelled=lambda: self.is_cancelled(request.command.message_id),
        )
        for answer, row in self._services.find(find):
            self._answer(request, answer, b"" if row is None else encode(row, context.transfer_syntax))

    def _serve_retrieve(self, request: CommandReceived) -> None:
        command, transfer_syntax = request.command, self._contexts[request.context_id].transfer_syntax
        identifier = self._receive_data_set() if command.has_data_set else b""
        is_move = command.field == CommandField.C_MOVE
        if not self._fits_context(request, MOVE_MODELS if is_move else GET_MODELS):
            self._answer(request, status.SOP_CLASS_NOT_SUPPORTED)
            return
        retrieve = RetrieveRequest(
            service="move" if is_move else "get",
            sop_class_uid=command.sop_class_uid,
            transfer_syntax_uid=transfer_syntax,
            identifier=identifier,
            message_id=command.message_id,
            calling_ae_title=self.calling_ae_title,
            called_ae_title=self.called_ae_title,
            is_cancelled=lambda: self.is_cancelled(command.message_id),
            move_destination=command.text(Element.MOVE_DESTINATION).strip(),
        )
        services = self._services
        for answer in services.move(retrieve) if is_move else services.get(retrieve, RequestorDestination(self)):
            failed = b"" if answer.identifier is None else encode(answer.identifier, transfer_syntax)
            self._answer(request, answer.status, failed, answer.counts)

    def _fits_context(self, request: CommandReceived, models: Mapping[str, object]) -> bool:
        """Tell whether the command is for the SOP class that was negotiated, and one of its service."""
        sop_class_uid = request.command.sop_class_uid
        return sop_class_uid in models and sop_class_uid == self._contexts[request.context_id].abstract_syntax

    def contexts_to_send(self, sop_class_uid: str) -> Mapping[str, int]:
        """Return the contexts of a SOP class in which the requestor is the SCP: their IDs by transfer syntax."""
        role = self._roles.get(sop_class_uid)
        if role is None or not role.scp:
            return {}
        contexts = self._contexts.values()
        return {each.transfer_syntax: each.context_id for each in contexts if each.abstract_syntax == sop_class_uid}

    def store_at_requestor(self, context_id: int, sop_class_uid: str, sop_instance_uid: str, sendable: Sendable) -> int:
        """Send an instance as a sub-operation of C-GET; return the status. Raises Unavailable when no file is there.

        The file is mapped, so that memory does not grow with it.
        """
        self._sent_message_id = self._sent_message_id % MAXIMUM_MESSAGE_ID + 1
        command: dict[Element, Value] = {
            Element.COMMAND_FIELD: CommandField.C_STORE,
            Element.MESSAGE_ID: self._sent_message_id,
            Element.PRIORITY: LOW_PRIORITY,
            Element.DATA_SET_TYPE: commands.A_DATA_SET,
            Element.AFFECTED_SOP_CLASS_UID: sop_class_uid,
            Element.AFFECTED_SOP_INSTANCE_UID: sop_instance_uid,
        }
        try:
            with (
                sendable.path.open("rb") as file,
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
                memoryview(mapped) as view,
                view[sendable.data_set_offset :] as data_set,
            ):
                response = self.request(context_id, command, data_set)
        except (OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
            raise Unavailable("a kept file could not be read") from error
        if response.status is None:
            raise Violation("a response without a status")
        return response.status

    def is_cancelled(self, message_id: int) -> bool:
        """Tell whether a C-CANCEL has come for the operation of this message ID; looks, and does not wait."""
        try:
            self._take_cancellations()
        except (Ended, Violation):
            return True  # it is raised again when the next request is waited for
        return message_id in self._cancelled

    def _take_cancellations(self) -> None:
        while isinstance(event := self._channel.event_at_hand(), CommandReceived):
            if event.command.field != CommandField.C_CANCEL:
                return
            self._cancelled.add(event.command.message_id)
            self._channel.drop_held()

    def request(self, context_id: int, command: Mapping[Element, Value], data: bytes | memoryview) -> Command:
        """Send a request of ours and wait for its response: a sub-operation on the peer's association.

        Raises Violation when something else comes, Ended when nothing does; a C-CANCEL is remembered.
        """
        self._channel.send(context_id, commands.encode(command), data)
        self._channel.flush()
        while True:
            event = self._channel.next_event(self._conversation.limits.message_s)
            if not isinstance(event, CommandReceived):
                raise Violation("something else where a response was due")
            if event.command.field == CommandField.C_CANCEL:
                self._cancelled.add(event.command.message_id)
            elif event.command.is_response and event.command.message_id == command[Element.MESSAGE_ID]:
                if event.command.has_data_set:
                    self._receive_data_set()
                return event.command
            else:
                raise Violation("something else where a response was due")

    def _pass_data_set(self, take: Callable[[memoryview], None]) -> None:
        """Pass the pieces of a data set on as they come; each is valid during the call only."""
        last = False
        while not last:
            event = self._channel.next_event()
            if not isinstance(event, DataReceived):
                raise Violation("something else where a data set was due")
            take(event.piece)
            last = event.last

    def _receive_data_set(self) -> bytes:
        """Collect a short data set, an Identifier."""
        collected = bytearray()

        def take(piece: memoryview) -> None:
            if len(collected) + len(piece) > MAXIMUM_IDENTIFIER_BYTES:
                raise Violation("an Identifier without end")
            collected.extend(piece)

        self._pass_data_set(take)
        return bytes(collected)

    def _answer(
        self,
        request: CommandReceived,
        answer: Status,
        identifier: bytes = b"",
        counts: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        command = request.command
        elements: dict[Element, Value] = {
            Element.COMMAND_FIELD: command.field | commands.RESPONSE,
            Element.RESPONDED_MESSAGE_ID: command.message_id,
            Element.DATA_SET_TYPE: commands.A_DATA_SET if identifier else commands.NO_DATA_SET,
            Element.STATUS: answer.code,
        }
        if is_uid(command.sop_class_uid):
            elements[Element.AFFECTED_SOP_CLASS_UID] = command.sop_class_uid
        if command.field == CommandField.C_STORE and is_uid(command.sop_instance_uid):
            elements[Element.AFFECTED_SOP_INSTANCE_UID] = command.sop_instance_uid
        if answer.comment:
            elements[Element.ERROR_COMMENT] = answer.comment
        if answer.offending_element is not None:
            elements[Element.OFFENDING_ELEMENT] = answer.offending_element
        elements.update((COUNTS[keyword], count) for keyword, count in counts.items())
        self._channel.send(request.context_id, commands.encode(elements), identifier)


def _answered(context_id: int, abstract_syntax: str, transfer_syntaxes: tuple[str, ...]) -> Answer:
    negotiated = presentation.negotiate(abstract_syntax, transfer_syntaxes)
    return Answer(context_id, negotiated.result.value, abstract_syntax, negotiated.transfer_syntax)


def _role(sop_class_uid: str, asked: Role) -> Role | None:
    """Answer a proposed role (PS3.7 D.3.3.4); None means no.

    Without a proposal the requestor is the SCU. It can be the SCP of storage alone: those are C-GET's sub-operations.
    """
    answered = Role(asked.scu, asked.scp and presentation.is_storage(sop_class_uid))
    return answered if answered.scu or answered.scp else None
