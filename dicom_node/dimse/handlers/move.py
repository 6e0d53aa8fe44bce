"""C-MOVE: from an encoded Identifier to sub-operations on an association with a configured peer, and one final status.

The rule: only peers of the configuration are called, whatever AE title a request names.
"""

from collections.abc import Iterator, Sequence

from dicom_node.catalog.retrieval import Selection
from dicom_node.dimse import scu
from dicom_node.dimse.destinations import PeerDestination
from dicom_node.dimse.presentation import MOVE_MODELS
from dicom_node.dimse.suboperations import RetrieveRequest, RetrieveResponse, perform
from dicom_node.errors import DestinationUnknown
from dicom_node.retrieve import Retrieval
from dicom_node.settings import PeerSettings


class MoveHandler:
    """Answers C-MOVE requests. One per server; safe for many threads."""

    def __init__(self, retrieval: Retrieval, peers: Sequence[PeerSettings], timeout_s: float) -> None:
        """Send what `retrieval` finds to one of `peers`, waiting at most `timeout_s` for each of its answers."""
        self._retrieval = retrieval
        self._peers = {peer.ae_title.strip(): peer for peer in peers}
        self._timeout_s = timeout_s

    def answer(self, request: RetrieveRequest) -> Iterator[RetrieveResponse]:
        """Return pending responses with their counts, then the final one."""

        def destination(selection: Selection) -> PeerDestination:
            return PeerDestination(self._peer(request), selection.kinds, request.message_id, request.calling_ae_title)

        return perform(self._retrieval, request, MOVE_MODELS[request.sop_class_uid], destination)

    def _peer(self, request: RetrieveRequest) -> scu.Peer:
        peer = self._peers.get(request.move_destination)
        if peer is None:
            raise DestinationUnknown("the move destination is not known")
        return scu.Peer(peer.host, peer.port, peer.ae_title.strip(), request.called_ae_title, self._timeout_s)
