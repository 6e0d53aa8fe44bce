"""Who takes the instances of a retrieve: a configured peer (C-MOVE), or the requestor itself (C-GET).

Made by the two handlers, used by `retrieve` through its port. The rule: a destination that has once been out of reach
is not called again in the same retrieve, so that thousands of sub-operations do not each wait for it.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import count
from typing import TYPE_CHECKING, Self

from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.dsutils import split_dataset
from pynetdicom.presentation import PresentationContext, build_context

from dicom_node.catalog.retrieval import KeptInstance, Kind
from dicom_node.converter import TARGETS
from dicom_node.dimse import scu
from dicom_node.errors import Corrupt, Unavailable
from dicom_node.retrieve import Sendable

if TYPE_CHECKING:
    from dicom_node.dimse.association import ServedAssociation

# Each kind may need two of an association's 128 presentation contexts: for the original, and for a conversion.
KINDS_PER_ASSOCIATION = scu.MAXIMUM_CONTEXTS // 2
MAXIMUM_MESSAGE_ID = 0xFFFF


class PeerDestination:
    """A peer, called when the first instance is to be sent; a context manager that releases the association."""

    def __init__(self, peer: scu.Peer, kinds: Sequence[Kind], originator_message_id: int, originator: str) -> None:
        """Propose `kinds`, as many at a time as fit; `originator` is the AE title that asked for the C-MOVE."""
        self._peer = peer
        self._originator, self._originator_message_id = originator, originator_message_id
        self._groups = [
            tuple(kinds[start : start + KINDS_PER_ASSOCIATION]) for start in range(0, len(kinds), KINDS_PER_ASSOCIATION)
        ]
        self._group: tuple[Kind, ...] = ()
        self._open = ExitStack()
        self._association: Association | None = None
        self._failure = ""
        self._message_ids = count()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def transfer_syntaxes(self, instance: KeptInstance) -> frozenset[str]:
        """Return those in which the peer takes the SOP class. Raises Unavailable."""
        kind = (instance.sop_class_uid, instance.transfer_syntax_uid)
        if kind not in self._group or self._has_ended():
            self._associate(next(group for group in self._groups if kind in group))
        contexts = [] if self._association is None else self._association.accepted_contexts
        return frozenset(str(context.transfer_syntax[0]) for context in contexts if context.abstract_syntax == kind[0])

    def store(self, instance: KeptInstance, sendable: Sendable) -> int:
        """Send an instance and return the status. Raises Unavailable when the peer goes away, Corrupt."""
        if self._association is None:
            raise Unavailable("no association with the destination")
        _check_meta(instance, sendable)
        try:
            response = self._association.send_c_store(
                sendable.path,
                msg_id=next(self._message_ids) % MAXIMUM_MESSAGE_ID + 1,
                originator_aet=self._originator,
                originator_id=self._originator_message_id,
            )
        except RuntimeError as error:  # the association ended between two instances
            raise Unavailable("the destination ended the association") from error
        if "Status" not in response:
            self._group = ()  # the next instance gets a new association
            raise Unavailable("the destination did not answer in time, or ended the association")
        return int(response.Status)

    def _has_ended(self) -> bool:
        return self._association is not None and not self._association.is_established

    def _associate(self, group: tuple[Kind, ...]) -> None:
        """Open an association for a group of kinds in place of the one there is."""
        if self._failure:
            raise Unavailable(self._failure)
        self._open.close()
        self._association = None
        try:
            self._association = self._open.enter_context(scu.associated(self._peer, _contexts(group)))
        except scu.NotNegotiated:
            self._association = None  # it takes nothing of this group; perhaps of another
        except Unavailable as error:
            self._failure = str(error)
            raise
        self._group = group


class RequestorDestination:
    """The peer of a served association, in the contexts in which it took the SCP role."""

    def __init__(self, association: "ServedAssociation") -> None:
        """Send over `association`."""
        self._association = association

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the association open: it is the requestor's."""

    def transfer_syntaxes(self, instance: KeptInstance) -> frozenset[str]:
        """Return those in which the requestor takes the SOP class."""
        return frozenset(self._association.contexts_to_send(instance.sop_class_uid))

    def store(self, instance: KeptInstance, sendable: Sendable) -> int:
        """Send an instance and return the status. Raises Unavailable."""
        context_id = self._association.contexts_to_send(instance.sop_class_uid)[sendable.transfer_syntax_uid]
        return self._association.store_at_requestor(
            context_id, instance.sop_class_uid, instance.sop_instance_uid, sendable
        )


def _check_meta(instance: KeptInstance, sendable: Sendable) -> None:
    """Raise Corrupt unless the file meta information, by which the library sends, says what the catalog says."""
    meta, _ = split_dataset(sendable.path)
    said = (meta.get("MediaStorageSOPClassUID"), meta.get("MediaStorageSOPInstanceUID"), meta.get("TransferSyntaxUID"))
    if said != (instance.sop_class_uid, instance.sop_instance_uid, sendable.transfer_syntax_uid):
        raise Corrupt("the file meta information of a kept file is not what was written")


def _contexts(kinds: Sequence[Kind]) -> list[PresentationContext]:
    """Propose each kind by itself, so that originals are taken wherever they can be, and what we can convert to."""
    originals = [build_context(UID(sop_class), UID(transfer_syntax)) for sop_class, transfer_syntax in kinds]
    sop_classes = dict.fromkeys(sop_class for sop_class, _ in kinds)
    return originals + [build_context(UID(sop_class), list(TARGETS)) for sop_class in sop_classes]
