"""A storage SCP of this process that instances are moved or got to, and SCUs that ask for them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association

from tests.scp import DEADLINE_S, EXPLICIT, Scp, associated, serving
from tests.servers import free_port

MOVE = {"-P": "1.2.840.10008.5.1.4.1.2.1.2", "-S": "1.2.840.10008.5.1.4.1.2.2.2"}
GET = {"-P": "1.2.840.10008.5.1.4.1.2.1.3", "-S": "1.2.840.10008.5.1.4.1.2.2.3"}
COUNTS = ("Remaining", "Completed", "Failed", "Warning")


@dataclass
class Destination:
    """A storage SCP of this process: what it received, and with what status it answers."""

    port: int
    received: dict[str, bytes] = field(default_factory=dict)
    originators: set[tuple[str, int]] = field(default_factory=set)
    callers: set[str] = field(default_factory=set)
    syntaxes: dict[str, str] = field(default_factory=dict)
    answer: Callable[[str], int] = lambda _: 0x0000
    abort_at: str = ""

    def store(self, event: evt.Event) -> int:
        """Take an instance."""
        request: Any = event.request
        uid = str(request.AffectedSOPInstanceUID)
        self.received[uid] = request.DataSet.getvalue()
        self.syntaxes[uid] = str(event.context.transfer_syntax)
        self.callers.add(event.assoc.requestor.ae_title.strip())
        if request.MoveOriginatorMessageID is not None:
            self.originators.add((request.MoveOriginatorApplicationEntityTitle, request.MoveOriginatorMessageID))
        if uid == self.abort_at:
            event.assoc.abort()
        return self.answer(uid)


@contextmanager
def destination(contexts: Sequence[tuple[str, Sequence[str]]]) -> Iterator[Destination]:
    """Listen as `STATION`, taking these SOP classes in these transfer syntaxes."""
    ae = AE("STATION")
    ae.maximum_pdu_size = 0  # takes any length
    for abstract_syntax, transfer_syntaxes in contexts:
        ae.add_supported_context(abstract_syntax, list(transfer_syntaxes))
    taken = Destination(free_port())
    server = ae.start_server(("127.0.0.1", taken.port), block=False, evt_handlers=[(evt.EVT_C_STORE, taken.store)])
    try:
        yield taken
    finally:
        server.shutdown()  # type: ignore[no-untyped-call]


@contextmanager
def moving(folder: Path, contexts: Sequence[tuple[str, Sequence[str]]]) -> Iterator[tuple[Scp, Destination]]:
    """Serve an empty node that knows `STATION`."""
    with (
        destination(contexts) as taken,
        serving(folder / "data", peers=[{"ae_title": "STATION", "host": "127.0.0.1", "port": taken.port}]) as scp,
    ):
        yield scp, taken


Responses = list[tuple[Dataset, Dataset | None]]


def move(port: int, keys: Dataset, to: str = "STATION", model: str = "-S") -> Responses:
    """Ask with C-MOVE; return the responses."""
    with associated(port, [(MOVE[model], [EXPLICIT])]) as association:
        return list(association.send_c_move(keys, to, UID(MOVE[model]), msg_id=7))


@contextmanager
def getting(
    port: int, contexts: Sequence[tuple[str, Sequence[str]]], taken: Destination, called: str = "DICOMNODE"
) -> Iterator[Association]:
    """Open an association for C-GET, as the SCP of `contexts`."""
    ae = AE("WORKSTATION")
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = DEADLINE_S
    for model in GET.values():
        ae.add_requested_context(model, [EXPLICIT])
    for abstract_syntax, transfer_syntaxes in contexts:
        ae.add_requested_context(abstract_syntax, list(transfer_syntaxes))
    roles = [build_role(uid, scp_role=True) for uid in dict(contexts)]
    association = ae.associate(
        "127.0.0.1",
        port,
        ae_title=called,
        ext_neg=list(roles),
        evt_handlers=[(evt.EVT_C_STORE, taken.store)],
    )
    assert association.is_established
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def get(port: int, keys: Dataset, contexts: Sequence[tuple[str, Sequence[str]]], taken: Destination) -> Responses:
    """Ask with C-GET at the archive; return the responses."""
    with getting(port, contexts, taken) as association:
        return list(association.send_c_get(keys, UID(GET["-S"])))


def counts(response: Dataset) -> list[int | None]:
    """Return remaining, completed, failed, warning."""
    return [response.get(f"NumberOf{name}Suboperations") for name in COUNTS]


def failed(identifier: Dataset | None) -> list[str]:
    """Return the Failed SOP Instance UID List."""
    assert identifier is not None
    uids = identifier.FailedSOPInstanceUIDList
    return [str(uids)] if isinstance(uids, str) else [str(uid) for uid in uids]
