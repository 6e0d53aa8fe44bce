"""C-GET: from an encoded Identifier to sub-operations on the requestor's own association, and one final status."""

from collections.abc import Iterator

from dicom_node.dimse.destinations import RequestorDestination
from dicom_node.dimse.presentation import GET_MODELS
from dicom_node.dimse.suboperations import RetrieveRequest, RetrieveResponse, perform
from dicom_node.retrieve import Retrieval


class GetHandler:
    """Answers C-GET requests. One per server; safe for many threads."""

    def __init__(self, retrieval: Retrieval) -> None:
        """Send what `retrieval` finds."""
        self._retrieval = retrieval

    def answer(self, request: RetrieveRequest, requestor: RequestorDestination) -> Iterator[RetrieveResponse]:
        """Return pending responses with their counts, then the final one."""
        return perform(self._retrieval, request, GET_MODELS[request.sop_class_uid], lambda _: requestor)
