"""What associations are negotiated to: tables of SOP classes and transfer syntaxes, and the rule that applies them.

Called by the acceptor for every proposed presentation context, and by the conformance statement. The rule: one
transfer syntax per accepted context, and none in which the archive could not keep the bytes as they come.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from pydicom._uid_dict import UID_dictionary
from pynetdicom import AllStoragePresentationContexts

from dicom_node.identifier import Model

VERIFICATION = "1.2.840.10008.1.1"
FIND_MODELS = {
    "1.2.840.10008.5.1.4.1.2.1.1": Model.PATIENT_ROOT,
    "1.2.840.10008.5.1.4.1.2.2.1": Model.STUDY_ROOT,
}

MOVE_MODELS = {
    "1.2.840.10008.5.1.4.1.2.1.2": Model.PATIENT_ROOT,
    "1.2.840.10008.5.1.4.1.2.2.2": Model.STUDY_ROOT,
}
GET_MODELS = {
    "1.2.840.10008.5.1.4.1.2.1.3": Model.PATIENT_ROOT,
    "1.2.840.10008.5.1.4.1.2.2.3": Model.STUDY_ROOT,
}
QUERY_RETRIEVE = FIND_MODELS | MOVE_MODELS | GET_MODELS

IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
EXPLICIT_BIG_ENDIAN = "1.2.840.10008.1.2.2"
# In the order in which we prefer them, for everything but storage.
UNCOMPRESSED = (EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN, EXPLICIT_BIG_ENDIAN)

_COMPOSITE = "1.2.840.10008.5.1.4.1.1."
# Protocols, approvals and inventories belong to no patient, so not to an archive of studies.
_NON_PATIENT = (f"{_COMPOSITE}200.", f"{_COMPOSITE}201.")
# MIME and XML are no data sets, SMPTE ST 2110 is a live stream, Papyrus a file format of its own.
_NOT_KEPT = ("1.2.840.10008.1.2.6.", "1.2.840.10008.1.2.7.", "1.2.840.10008.1.20")


def _is_composite_storage(uid: str) -> bool:
    name, kind = UID_dictionary[uid][:2]
    return kind == "SOP Class" and "Storage" in name and uid.startswith(_COMPOSITE) and not uid.startswith(_NON_PATIENT)


# Those of the current standard, and the retired ones that old archives are full of.
STORAGE = frozenset(str(context.abstract_syntax) for context in AllStoragePresentationContexts) | frozenset(
    uid for uid in UID_dictionary if _is_composite_storage(uid)
)
KEPT_TRANSFER_SYNTAXES = frozenset(
    uid for uid, (_, kind, *_) in UID_dictionary.items() if kind == "Transfer Syntax" and not uid.startswith(_NOT_KEPT)
)


class Result(IntEnum):
    """The answer to one proposed presentation context, PS3.8 table 9-18."""

    ACCEPTANCE = 0
    ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
    TRANSFER_SYNTAXES_NOT_SUPPORTED = 4


@dataclass(frozen=True, slots=True)
class Negotiated:
    """The answer to one proposed context; the transfer syntax says nothing unless accepted."""

    result: Result
    transfer_syntax: str


def is_storage(abstract_syntax: str) -> bool:
    """Tell whether we take instances of this SOP class: the standard's, and private ones nobody has a table of."""
    return abstract_syntax in STORAGE or abstract_syntax not in UID_dictionary


def negotiate(abstract_syntax: str, transfer_syntaxes: Sequence[str]) -> Negotiated:
    """Answer one proposed context. For storage the sender's order of transfer syntaxes counts, else ours."""
    if abstract_syntax == VERIFICATION or abstract_syntax in QUERY_RETRIEVE:
        fitting = [uid for uid in UNCOMPRESSED if uid in transfer_syntaxes]
    elif is_storage(abstract_syntax):
        fitting = [uid for uid in transfer_syntaxes if uid in KEPT_TRANSFER_SYNTAXES]
    else:
        return Negotiated(Result.ABSTRACT_SYNTAX_NOT_SUPPORTED, _first(transfer_syntaxes))
    if not fitting:
        return Negotiated(Result.TRANSFER_SYNTAXES_NOT_SUPPORTED, _first(transfer_syntaxes))
    return Negotiated(Result.ACCEPTANCE, fitting[0])


def _first(transfer_syntaxes: Sequence[str]) -> str:
    return transfer_syntaxes[0] if transfer_syntaxes else IMPLICIT_LITTLE_ENDIAN
