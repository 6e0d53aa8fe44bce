"""The DIMSE edge: one port, two AE titles, any number of associations up to a limit.

Built by `serve`; everything behind it is a use case. The rule: pynetdicom is seen in this package only, and nothing
here logs what an Identifier or a data set holds.
"""

import logging
import socket
import threading
from collections.abc import Iterator
from typing import Any, cast

from pynetdicom import AE, _config
from pynetdicom.transport import AddressInformation, AssociationServer, RequestHandler

from dicom_node import metrics
from dicom_node.attribute_search import AttributeSearch
from dicom_node.dimse.association import (
    CALLED_AE_TITLE_UNKNOWN,
    LIMIT_EXCEEDED,
    Refusal,
    ServedAssociation,
)
from dicom_node.dimse.handlers.find import FindHandler, FindRequest, Response
from dicom_node.dimse.handlers.store import Reception
from dicom_node.doors import Door, Doors
from dicom_node.ingest import Claimed, Ingest
from dicom_node.instance import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom_node.settings import DicomSettings
from dicom_node.similarity_search import SimilaritySearch

# pynetdicom's own handlers log Identifiers and responses at info.
_config.LOG_HANDLER_LEVEL = "none"
_config.LOG_REQUEST_IDENTIFIERS = False
_config.LOG_RESPONSE_IDENTIFIERS = False

logger = logging.getLogger(__name__)

LISTEN_BACKLOG = 128
POLL_S = 0.1


class DicomServer:
    """The node's SCP. `start`, then `stop` once."""

    def __init__(
        self,
        settings: DicomSettings,
        ingest: Ingest,
        attribute_search: AttributeSearch,
        similarity: SimilaritySearch,
    ) -> None:
        """Serve C-ECHO, C-STORE into `ingest` and C-FIND from the two searches, when started."""
        self._settings = settings
        self._ingest = ingest
        self._find = FindHandler(Doors(attribute_search, similarity), settings)
        self._doors = {settings.ae_title.strip(): Door.ARCHIVE, settings.similar_ae_title.strip(): Door.SIMILAR}
        self._changed = threading.Condition()
        self._connected: set[ServedAssociation] = set()
        self._admitted: set[ServedAssociation] = set()
        self._listener: Listener | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen and accept. Raises OSError when the port cannot be had."""
        self._listener = Listener(self, self._settings)
        self._thread = threading.Thread(
            target=self._listener.serve_forever, args=(POLL_S,), name="dicom-listener", daemon=True
        )
        self._thread.start()

    @property
    def bound_port(self) -> int:
        """The port that is listened on; the one the system chose when the setting is 0."""
        if self._listener is None:
            raise RuntimeError("not started")
        return self._listener.server_address[1]

    def stop(self, grace_s: float) -> None:
        """Accept nothing more, let what is being received end within `grace_s`, then abort what is left."""
        if self._listener is None or self._thread is None:
            return
        self._listener.shutdown()
        self._thread.join()
        for association in self._snapshot():
            association.stop_when_idle()
        self._wait_until_empty(grace_s)
        for association in self._snapshot():
            association.abort(block=False)
            association.stop_when_idle()
        self._wait_until_empty(1.0)

    def connect(self, client: socket.socket, remote: AddressInformation) -> None:
        """Serve an accepted connection on a thread of its own."""
        association = ServedAssociation(cast("Listener", self._listener).ae, client, remote, self)
        with self._changed:
            self._connected.add(association)
        association.start()

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

    def _snapshot(self) -> list[ServedAssociation]:
        with self._changed:
            return list(self._connected)

    def _wait_until_empty(self, timeout_s: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._connected, timeout_s)


class Listener(AssociationServer):
    """The listening socket."""

    request_queue_size = LISTEN_BACKLOG

    def __init__(self, server: DicomServer, settings: DicomSettings) -> None:
        """Bind and listen."""
        self.dicom_server = server
        super().__init__(
            _application_entity(settings),
            (settings.host, settings.port),
            settings.ae_title,
            [],
            request_handler=_Accepted,
        )

    def service_actions(self) -> None:
        """Do nothing between connections (the base collects garbage)."""

    def handle_error(self, *_: Any) -> None:
        """Log what went wrong with a new connection, and go on."""
        logger.error("a connection could not be served", exc_info=True)  # noqa: LOG014 - called while one is handled

    def shutdown(self) -> None:
        """Stop accepting and close the socket."""
        super(AssociationServer, self).shutdown()
        self.server_close()


class _Accepted(RequestHandler):
    """A new connection, on the listening thread: hand it on at once."""

    server: Listener

    def handle(self) -> None:
        """Serve the connection on its own thread."""
        self.server.dicom_server.connect(cast("socket.socket", self.request), self.remote)


def _application_entity(settings: DicomSettings) -> AE:
    ae = AE(settings.ae_title)
    ae.maximum_pdu_size = settings.maximum_pdu_bytes
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.acse_timeout = settings.acse_timeout_s
    ae.dimse_timeout = settings.dimse_timeout_s
    ae.network_timeout = settings.network_timeout_s
    return ae
