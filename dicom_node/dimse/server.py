"""The DIMSE edge: one port, two AE titles, any number of associations up to a limit.

Built by `serve`; the protocol is the engine's, and everything behind the edge is a use case. The rule: nothing here
logs what an Identifier or a data set holds.
"""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress

from dicom_node import metrics
from dicom_node.attribute_search import AttributeSearch
from dicom_node.dimse.association import (
    CALLED_AE_TITLE_UNKNOWN,
    LIMIT_EXCEEDED,
    Refusal,
    ServedAssociation,
)
from dicom_node.dimse.destinations import RequestorDestination
from dicom_node.dimse.engine.channel import Channel
from dicom_node.dimse.engine.conversation import AssociationRequested, Conversation, Limits
from dicom_node.dimse.engine.gate import Gate
from dicom_node.dimse.handlers.find import FindHandler, FindRequest, Response
from dicom_node.dimse.handlers.get import GetHandler
from dicom_node.dimse.handlers.move import MoveHandler
from dicom_node.dimse.handlers.store import Reception
from dicom_node.dimse.suboperations import RetrieveRequest, RetrieveResponse
from dicom_node.doors import Door, Doors
from dicom_node.ingest import Claimed, Ingest
from dicom_node.retrieve import Retrieval
from dicom_node.settings import DicomSettings, PeerSettings
from dicom_node.similarity_search import SimilaritySearch

# Threads beyond the associations that are let in: for those that are being told that they are not.
SPARE_THREADS = 32


class DicomServer:
    """The node's SCP. `start`, then `stop` once."""

    def __init__(
        self,
        settings: DicomSettings,
        ingest: Ingest,
        attribute_search: AttributeSearch,
        similarity: SimilaritySearch,
        retrieval: Retrieval,
        peers: Sequence[PeerSettings] = (),
    ) -> None:
        """When started, serve C-ECHO, C-STORE into `ingest`, C-FIND from the two searches, C-MOVE to `peers`, C-GET."""
        self._settings = settings
        self._ingest = ingest
        self._find = FindHandler(Doors(attribute_search, similarity), settings)
        self._move = MoveHandler(retrieval, peers, settings.dimse_timeout_s)
        self._get = GetHandler(retrieval)
        self._doors = {settings.ae_title.strip(): Door.ARCHIVE, settings.similar_ae_title.strip(): Door.SIMILAR}
        self._changed = threading.Condition()
        self._connected: set[ServedAssociation] = set()
        self._admitted: set[ServedAssociation] = set()
        self._gate: Gate | None = None

    def start(self) -> None:
        """Listen and accept. Raises OSError when the port cannot be had."""
        settings = self._settings
        limits = Limits(
            maximum_pdu_bytes=settings.maximum_pdu_bytes,
            handshake_s=settings.acse_timeout_s,
            message_s=settings.dimse_timeout_s,
            network_s=settings.network_timeout_s,
        )
        self._gate = Gate((settings.host, settings.port), limits, self._connect)
        self._gate.start()

    @property
    def bound_port(self) -> int:
        """The port that is listened on; the one the system chose when the setting is 0."""
        if self._gate is None:
            raise RuntimeError("not started")
        return self._gate.port

    @property
    def connections(self) -> int:
        """How many connections there are, before and after negotiation."""
        return len(self._snapshot()) + (0 if self._gate is None else self._gate.waiting)

    def stop(self, grace_s: float) -> None:
        """Accept nothing more, let what is being received end within `grace_s`, then abort what is left."""
        if self._gate is None:
            return
        self._gate.stop()
        for association in self._snapshot():
            association.stop_when_idle()
        self._wait_until_empty(grace_s)
        for association in self._snapshot():
            association.abort()
        self._wait_until_empty(1.0)

    def _connect(self, connection: socket.socket, conversation: Conversation, asked: AssociationRequested) -> None:
        """Serve a connection whose request has come, on a thread of its own; called by the gate."""
        with self._changed:
            has_room = len(self._connected) < self._settings.maximum_associations + SPARE_THREADS
        if not has_room:
            metrics.ASSOCIATIONS.labels(LIMIT_EXCEEDED.outcome).inc()
            with suppress(OSError):  # gone already
                connection.send(LIMIT_EXCEEDED.encoded)
            connection.close()
            return
        channel = Channel(connection, conversation, self._settings.network_timeout_s)
        association = ServedAssociation(channel, conversation, self, self._settings.maximum_pdu_bytes)
        with self._changed:
            self._connected.add(association)
        thread = threading.Thread(target=association.run, args=(asked.body,), name="dicom-association", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no thread to give
            self.leave(association)
            raise

    # What associations ask of the server

    def admit(self, association: ServedAssociation, called_ae_title: str) -> Refusal | None:
        """Count an association in, or say why not."""
        if called_ae_title not in self._doors:
            return CALLED_AE_TITLE_UNKNOWN
        with self._changed:
            if len(self._admitted) >= self._settings.maximum_associations:
                return LIMIT_EXCEEDED
            self._admitted.add(association)
            metrics.ASSOCIATIONS_OPEN.set(len(self._admitted))
        return None

    def leave(self, association: ServedAssociation) -> None:
        """Count an association out."""
        with self._changed:
            self._connected.discard(association)
            self._admitted.discard(association)
            metrics.ASSOCIATIONS_OPEN.set(len(self._admitted))
            self._changed.notify_all()

    def receive(self, claimed: Claimed, abstract_syntax: str) -> Reception:
        """Start to receive an instance."""
        return Reception(self._ingest, claimed, abstract_syntax)

    def find(self, request: FindRequest) -> Iterator[Response]:
        """Answer a query."""
        return self._find.answer(request, self._doors[request.called_ae_title])

    def move(self, request: RetrieveRequest) -> Iterator[RetrieveResponse]:
        """Send instances to a peer."""
        return self._move.answer(request)

    def get(self, request: RetrieveRequest, requestor: RequestorDestination) -> Iterator[RetrieveResponse]:
        """Send instances to the requestor."""
        return self._get.answer(request, requestor)

    def _snapshot(self) -> list[ServedAssociation]:
        with self._changed:
            return list(self._connected)

    def _wait_until_empty(self, timeout_s: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._connected, timeout_s)
