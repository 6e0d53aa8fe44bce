"""One association from the acceptor's side: admitted, negotiated, its requests served in order.

pynetdicom's association with its polling loop replaced by one that waits, and with our rules of negotiation. What a
request means is up to `Services`; here it is only taken in and answered. The rule: whatever ends the association, no
unfinished data set stays behind.
"""

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Protocol, cast

from pydicom.uid import UID
from pynetdicom.acse import ACSE
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_ECHO, C_FIND, C_STORE
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AddressInformation

from dicom_node import metrics
from dicom_node.dimse import presentation, status
from dicom_node.dimse.encoding import encode
from dicom_node.dimse.handlers import echo
from dicom_node.dimse.handlers.find import FindRequest, Response
from dicom_node.dimse.handlers.store import Reception
from dicom_node.dimse.presentation import Result
from dicom_node.dimse.reception import Command, CommandField, MessageReceiver, Request
from dicom_node.dimse.status import Status
from dicom_node.dimse.transport import Connection, Provider
from dicom_node.ingest import Claimed
from dicom_node.instance import is_uid

MINIMUM_PEER_PDU_BYTES = 16


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an association is not accepted, PS3.8 table 9-21; `outcome` names it in the metrics."""

    result: int
    source: int
    reason: int
    outcome: str


CALLED_AE_TITLE_UNKNOWN = Refusal(1, 1, 7, "called_ae_title_unknown")
LIMIT_EXCEEDED = Refusal(2, 3, 2, "limit_exceeded")
PDU_TOO_SMALL = Refusal(1, 1, 1, "pdu_too_small")


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


class ServedAssociation(Association):
    """An accepted connection and the thread that serves it."""

    def __init__(
        self, ae: ApplicationEntity, client: socket.socket, remote: AddressInformation, services: Services
    ) -> None:
        """Prepare to serve an accepted connection; `start` begins with negotiation."""
        super().__init__(ae, "acceptor")
        self.activity = threading.Event()
        self.maximum_pdu_bytes = ae.maximum_pdu_size
        self.receiver = MessageReceiver(self, self._open_store)
        self._services = services
        self._stopping = False
        self.acse, self.dul, self.dimse = Negotiation(self, services), Provider(self), self.receiver
        # The base gave its time limits to the provider that was just replaced.
        self.acse_timeout, self.network_timeout = ae.acse_timeout, ae.network_timeout
        self._client = client
        self.set_socket(Connection(self, client, cast("float", ae.network_timeout)))
        self.acceptor.ae_title = ae.ae_title
        self.acceptor.maximum_length = ae.maximum_pdu_size
        self.acceptor.implementation_version_name = ae.implementation_version_name
        self.requestor.address_info = remote

    def stop_when_idle(self) -> None:
        """End the association as soon as no request is being received or served."""
        self._stopping = True
        self.activity.set()

    def accepts(self, context_id: int) -> bool:
        """Tell whether this presentation context was accepted."""
        return context_id in self._accepted_cx

    def run_reactor(self) -> None:
        """Serve the association to its end; the thread's body."""
        self.dul.start()
        try:
            asked = self.dul.receive_pdu(wait=True, timeout=self.acse_timeout)
            if isinstance(asked, A_ASSOCIATE):
                self.requestor.primitive = asked
                self.acse.negotiate_association()
            if self.is_established:
                self._run_reactor()
            self.kill()
        finally:
            self.dul.kill_dul()
            self.dul.join()
            self._client.close()
            self.receiver.discard_waiting()
            self._services.leave(self)

    def _run_reactor(self) -> None:
        while not self._kill:
            self.activity.wait(max(0.0, self.dul._idle_timer.remaining) + 0.01)
            self.activity.clear()
            while self.is_established and (request := self.receiver.next_request()) is not None:
                self._serve(request)
            if self._has_ended():
                return

    def _has_ended(self) -> bool:
        if self.is_established and self.acse.is_release_requested():
            self.acse.send_release(is_response=True)
            self.is_released = True
            self.is_established = False
            self.kill()
        elif self.acse.is_aborted() or not self.dul.is_alive():
            self.is_aborted = True
            self.is_established = False
            self.kill()
        elif self.dul.idle_timer_expired() or (self._stopping and not self.receiver.in_progress):
            self.abort()
        else:
            return False
        return True

    def _serve(self, request: Request) -> None:
        match request.command.field:
            case CommandField.C_ECHO:
                self._answer(C_ECHO(), request, echo.answer())
            case CommandField.C_STORE:
                self._answer(C_STORE(), request, cast("Reception", request.reception).finish())
            case CommandField.C_FIND:
                self._serve_find(request)

    def _serve_find(self, request: Request) -> None:
        context = self._accepted_cx[request.context_id]
        transfer_syntax = context.transfer_syntax[0]
        if request.command.sop_class_uid != context.abstract_syntax:
            self._answer(C_FIND(), request, status.SOP_CLASS_NOT_SUPPORTED)
            return
        find = FindRequest(
            sop_class_uid=request.command.sop_class_uid,
            transfer_syntax_uid=transfer_syntax,
            identifier=request.identifier,
            called_ae_title=called_ae_title(self),
            is_cancelled=lambda: self.receiver.is_cancelled(request.command.message_id),
        )
        for answer, row in self._services.find(find):
            if not self.is_established or not self.dul.is_alive():
                return
            self._answer(C_FIND(), request, answer, b"" if row is None else encode(row, transfer_syntax))

    def _answer(
        self, response: C_ECHO | C_STORE | C_FIND, request: Request, answer: Status, identifier: bytes = b""
    ) -> None:
        response.MessageIDBeingRespondedTo = request.command.message_id
        if is_uid(request.command.sop_class_uid):
            response.AffectedSOPClassUID = UID(request.command.sop_class_uid)
        if isinstance(response, C_STORE) and is_uid(request.command.sop_instance_uid):
            response.AffectedSOPInstanceUID = UID(request.command.sop_instance_uid)
        response.Status = answer.code
        optional: Any = response  # pynetdicom declares these as always None
        if answer.comment:
            optional.ErrorComment = answer.comment
        if answer.offending_element is not None:
            optional.OffendingElement = [answer.offending_element]
        if identifier:
            optional.Identifier = BytesIO(identifier)
        self.receiver.send_msg(response, request.context_id)

    def _open_store(self, context_id: int, command: Command) -> Reception:
        context = self._accepted_cx[context_id]
        claimed = Claimed(
            sop_class_uid=command.sop_class_uid,
            sop_instance_uid=command.sop_instance_uid,
            transfer_syntax_uid=str(context.transfer_syntax[0]),
            calling_ae_title=self.requestor.ae_title.strip(),
        )
        return self._services.receive(claimed, str(context.abstract_syntax))


def called_ae_title(association: Association) -> str:
    """Return the AE title that the peer called, without padding."""
    return cast("A_ASSOCIATE", association.requestor.primitive).called_ae_title.strip()


class Negotiation(ACSE):
    """Accepts or rejects associations by our rules."""

    def __init__(self, association: ServedAssociation, services: Services) -> None:
        """Negotiate for one association."""
        super().__init__(association)
        self._served = association
        self._services = services

    def _negotiate_as_acceptor(self) -> None:
        asked = cast("A_ASSOCIATE", self.requestor.primitive)
        self.requestor.ae_title = asked.calling_ae_title
        refusal = self._refusal(asked)
        metrics.ASSOCIATIONS.labels("accepted" if refusal is None else refusal.outcome).inc()
        if refusal is not None:
            self.send_reject(refusal.result, refusal.source, refusal.reason)
            self.assoc.kill()
            return
        contexts = [_answered(context) for context in asked.presentation_context_definition_list]
        self.assoc._accepted_cx = {
            cast("int", context.context_id): context for context in contexts if context.result == Result.ACCEPTANCE
        }
        self.assoc._rejected_cx = [context for context in contexts if context.result != Result.ACCEPTANCE]
        self.send_accept()
        self.assoc.is_established = True

    def _refusal(self, asked: A_ASSOCIATE) -> Refusal | None:
        # No room for a fragment beside the headers; 0 means without limit.
        if 0 < self._served.receiver.maximum_pdu_size < MINIMUM_PEER_PDU_BYTES:
            return PDU_TOO_SMALL
        return self._services.admit(self._served, asked.called_ae_title.strip())


def _answered(proposed: PresentationContext) -> PresentationContext:
    negotiated = presentation.negotiate(str(proposed.abstract_syntax), [str(uid) for uid in proposed.transfer_syntax])
    context = PresentationContext()
    context.context_id = proposed.context_id
    context.abstract_syntax = proposed.abstract_syntax
    context.transfer_syntax = [UID(negotiated.transfer_syntax)]
    context.result = negotiated.result.value
    context._as_scu, context._as_scp = False, True
    return context
