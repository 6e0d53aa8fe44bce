"""A DIMSE edge of this process over the parts of `tests.filled`, and an SCU to ask it what DCMTK cannot."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_FIND, C_STORE

from dicom_node.attribute_search import AttributeSearch
from dicom_node.dimse.server import DicomServer
from dicom_node.settings import DicomSettings
from tests.filled import Filled, filled
from tests.servers import wait_for

STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.2.1"
PATIENT_ROOT = "1.2.840.10008.5.1.4.1.2.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEADLINE_S = 20.0


@dataclass(frozen=True)
class Scp:
    """A serving edge, and what it serves."""

    server: DicomServer
    parts: Filled

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.server.bound_port

    @property
    def files(self) -> list[Path]:
        """All files of the archive, also those being received."""
        return [path for path in self.parts.settings.archive_dir.rglob("*") if path.is_file()]


@contextmanager
def serving(data: Path, dicom: dict[str, Any] | None = None, **overrides: Any) -> Iterator[Scp]:
    """Serve an empty node; `dicom` are options of the edge, `overrides` sections of the settings."""
    options = {"host": "127.0.0.1", "port": 0} | (dicom or {})
    with filled(data, dicom=options, **overrides) as parts:
        settings: DicomSettings = parts.settings.dicom
        search = AttributeSearch(parts.catalog, settings)
        peers = parts.settings.peers
        server = DicomServer(settings, parts.ingest, search, parts.similarity, parts.retrieval, peers)
        server.start()
        try:
            yield Scp(server, parts)
        finally:
            server.stop(5.0)


@contextmanager
def associated(
    port: int, contexts: Sequence[tuple[str, Sequence[str]]], called: str = "DICOMNODE", maximum_pdu: int = 16_382
) -> Iterator[Association]:
    """Open an association as an SCU; release it at the end if it still stands."""
    ae = AE("WORKSTATION")
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = DEADLINE_S
    for abstract_syntax, transfer_syntaxes in contexts:
        ae.add_requested_context(abstract_syntax, list(transfer_syntaxes))
    association = ae.associate("127.0.0.1", port, ae_title=called, max_pdu=maximum_pdu)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def find(association: Association, identifier: Dataset, model: str = STUDY_ROOT) -> tuple[list[Dataset], Dataset]:
    """Query; return the identifiers of the pending responses, and the final status."""
    responses = list(association.send_c_find(identifier, model))
    rows = [identifier for _, identifier in responses if identifier is not None]
    return rows, responses[-1][0]


def exchange(association: Association, request: C_STORE | C_FIND) -> C_STORE | C_FIND:
    """Send a request as it is made, whatever is wrong with it; return the response."""
    association._reactor_checkpoint.clear()
    wait_for(lambda: association._is_paused, "the association paused", interval_s=0.001)
    association.dimse.send_msg(request, 1)
    _, response = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    assert isinstance(response, C_STORE | C_FIND)
    return response


def store_request(data: bytes, sop_class_uid: str, sop_instance_uid: str) -> C_STORE:
    """Make a C-STORE request of an encoded data set."""
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = UID(sop_class_uid), UID(sop_instance_uid)
    request.DataSet = BytesIO(data) if data else None
    return request


def identifier(level: str, **keys: Any) -> Dataset:
    """Make an Identifier of keywords and values."""
    data_set = Dataset()
    data_set.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(data_set, keyword, value)
    return data_set
