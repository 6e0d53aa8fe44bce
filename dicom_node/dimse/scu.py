"""The node as a client of others (SCU): C-ECHO, C-STORE of files, C-FIND. Called by `dicom-node echo|store|find`, and
for the association to a C-MOVE destination.

The rule: a file's data set goes out as it lies on the disk, in its own transfer syntax, never decoded or converted.
A peer that does not answer, rejects the association or aborts it is Unavailable.
"""

import queue
import re
import shutil
import socket
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu_primitives import MaximumLengthNotification
from pynetdicom.presentation import PresentationContext, build_context

from dicom_node.archive import PREFIX
from dicom_node.errors import Rejected, Unavailable
from dicom_node.instance import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, encode_file_meta
from dicom_node.part10 import Contents, read_contents

# Files are read and sent in pieces, their data sets untouched.
_config.STORE_SEND_CHUNKED_DATASET = True
# Identifiers hold patient data; they are not for the log.
_config.LOG_REQUEST_IDENTIFIERS = False
_config.LOG_RESPONSE_IDENTIFIERS = False

VERIFICATION = "1.2.840.10008.1.1"
MAXIMUM_CONTEXTS = 128
MAXIMUM_PDU_BYTES = 131_072
QUEUED_PRIMITIVES = 16
WAIT_S = 0.5
PENDING = (0xFF00, 0xFF01)
ENDED = "the peer ended the association"
AE_TITLE = re.compile(r"[\x20-\x5b\x5d-\x7e]{1,16}")
MODELS: Mapping[str, str] = {
    "patient": "1.2.840.10008.5.1.4.1.2.1.1",
    "study": "1.2.840.10008.5.1.4.1.2.2.1",
}


class SendQueue(queue.Queue[Any]):
    """A short queue of primitives for an upper layer; who puts waits for room as long as the layer runs."""

    def __init__(self, provider: DULServiceProvider) -> None:
        """Make the queue of a provider."""
        super().__init__(QUEUED_PRIMITIVES)
        self._provider = provider

    def put(self, item: Any, block: bool = True, timeout: float | None = WAIT_S) -> None:
        """Append a primitive; what nobody will send any more is dropped."""
        while self._provider.is_alive():
            try:
                super().put(item, block, timeout)
            except queue.Full:
                continue
            return


class NotNegotiated(Rejected):
    """The peer accepts none of the proposed presentation contexts; files of other kinds may still be sent."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Whom to call, and as whom. `timeout_s` is the longest wait for any one answer."""

    host: str
    port: int
    called: str
    calling: str
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a file: the status of its C-STORE response, or None and why it was not sent."""

    path: Path
    status: int | None
    reason: str = ""

    @property
    def stored(self) -> bool:
        """Whether the peer has it: Success, or a warning (PS3.4 B.2.3: B000, B006, B007)."""
        return self.status is not None and (self.status == 0 or self.status >> 12 == 0xB)


def echo(peer: Peer) -> int:
    """Send a C-ECHO and return the status of the response. Raises Unavailable."""
    with associated(peer, [build_context(VERIFICATION)]) as association:
        return _status(association.send_c_echo())


def store(peer: Peer, paths: Iterable[Path]) -> Iterator[Sent]:
    """Send files and yield what became of each; those that cannot be sent come before the ones they stand among.

    Files are looked at first, as the association proposes what they hold. Raises Unavailable when the peer goes away.
    """
    batch: list[tuple[Path, Contents]] = []
    contexts: dict[tuple[str, str], PresentationContext] = {}
    for path in paths:
        try:
            contents = _contents(path)
        except (Rejected, OSError) as error:
            yield Sent(path, None, error.strerror or "" if isinstance(error, OSError) else str(error))
            continue
        kind = (contents.sop_class_uid, contents.transfer_syntax_uid)
        if kind not in contexts and len(contexts) == MAXIMUM_CONTEXTS:
            yield from _store_batch(peer, batch, list(contexts.values()))
            batch, contexts = [], {}
        contexts.setdefault(kind, build_context(*kind))
        batch.append((path, contents))
    if batch:
        yield from _store_batch(peer, batch, list(contexts.values()))


def find(peer: Peer, identifier: Dataset, model: str) -> Iterator[Dataset]:
    """Send a C-FIND on the `patient` or `study` root model and yield the matches as they come.

    Raises Rejected when the peer refuses the query, Unavailable.
    """
    context = build_context(MODELS[model], [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    with associated(peer, [context]) as association:
        for response, match in association.send_c_find(identifier, MODELS[model]):
            status = _status(response)
            if status in PENDING and match is not None:
                yield match
            elif status != 0:
                raise Rejected(f"the query ended with status {status:04X}{_comment(response)}")


def _contents(path: Path) -> Contents:
    with path.open("rb") as file:
        return read_contents(file)


def _store_batch(
    peer: Peer, batch: Sequence[tuple[Path, Contents]], contexts: list[PresentationContext]
) -> Iterator[Sent]:
    """Send a batch whose kinds fit into one association; a new one is opened for the rest when a file ends it."""
    left = deque(batch)
    try:
        while left:
            with associated(peer, contexts) as association:
                taken = {(each.abstract_syntax, each.transfer_syntax[0]) for each in association.accepted_contexts}
                ended = False
                while left and not ended:
                    path, contents = left.popleft()
                    kind = (contents.sop_class_uid, contents.transfer_syntax_uid)
                    sent = _send(association, path, contents) if kind in taken else _not_taken(peer, path)
                    ended = sent.reason == ENDED
                    yield sent
    except NotNegotiated:
        yield from (_not_taken(peer, path) for path, _ in left)


def _not_taken(peer: Peer, path: Path) -> Sent:
    return Sent(path, None, f"{peer.called} does not take this SOP class in this transfer syntax")


def _send(association: Association, path: Path, contents: Contents) -> Sent:
    try:
        with _with_meta(path, contents) as sendable:
            response = association.send_c_store(sendable)
        return Sent(path, _status(response), _comment(response))
    except (RuntimeError, Unavailable):  # RuntimeError: the association ended between two files
        return Sent(path, None, ENDED)
    except OSError as error:
        return Sent(path, None, error.strerror or "cannot be read")


@contextmanager
def _with_meta(path: Path, contents: Contents) -> Iterator[Path]:
    """Give a file whose file meta information is right, by which the library sends it: `path`, or else a copy."""
    if contents.has_meta:
        yield path
        return
    uids = (contents.sop_class_uid, contents.sop_instance_uid, contents.transfer_syntax_uid)
    with path.open("rb") as file, tempfile.NamedTemporaryFile(prefix="dicom-node-") as copy:
        copy.write(PREFIX + encode_file_meta(*uids))
        file.seek(contents.data_set_offset)
        shutil.copyfileobj(file, copy)
        copy.flush()
        yield Path(copy.name)


def _status(response: Dataset) -> int:
    if "Status" not in response:
        raise Unavailable("the peer did not answer in time, or ended the association")
    return int(response.Status)


def _comment(response: Dataset) -> str:
    comment = str(response.get("ErrorComment", ""))
    return f" ({comment})" if comment else ""


@contextmanager
def associated(peer: Peer, contexts: list[PresentationContext]) -> Iterator[Association]:
    """Open an association, and release it at the end. Raises Unavailable, or NotNegotiated."""
    association = _associate(peer, contexts)
    if not association.is_established:
        raise _failure(peer, association)
    _bound_memory(association)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def _associate(peer: Peer, contexts: list[PresentationContext]) -> Any:
    if not (AE_TITLE.fullmatch(peer.calling) and AE_TITLE.fullmatch(peer.called)):
        raise Rejected("an AE title has 1 to 16 ASCII characters without backslash")
    entity = AE(peer.calling)
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = peer.timeout_s
    entity.connection_timeout = peer.timeout_s
    handlers: list[Any] = [(evt.EVT_CONN_OPEN, _send_at_once)]
    return entity.associate(
        peer.host, peer.port, contexts, ae_title=peer.called, max_pdu=MAXIMUM_PDU_BYTES, evt_handlers=handlers
    )


def _send_at_once(event: evt.Event) -> None:
    """Turn Nagle's algorithm off: with it, each message that ends in a short segment waits 40 ms for the peer."""
    connection: Any = event.assoc.dul.socket
    connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _bound_memory(association: Any) -> None:
    """Have sending wait for the network: the library would read whole files into its queue, or into one PDU."""
    association.dul.to_provider_queue = SendQueue(association.dul)
    for item in association.acceptor.user_information:
        if isinstance(item, MaximumLengthNotification) and not item.maximum_length_received:
            item.maximum_length_received = MAXIMUM_PDU_BYTES


def _failure(peer: Peer, association: Any) -> Exception:
    address = f"{peer.called} at {peer.host}:{peer.port}"
    if association.is_rejected:
        return Unavailable(f"{address} rejected the association: {association.acceptor.primitive.reason_str}")
    if association.rejected_contexts:
        return NotNegotiated(f"{address} accepted no presentation context")
    return Unavailable(f"no association with {address}: it does not answer")
