"""Which error is answered with which DIMSE status (PS3.7 annex C, PS3.4 B.2.3, C.4.1.1.4, C.4.2.1.5, C.4.3.1.4).

Pure. The rule: an Error Comment is at most 64 ASCII characters and, like every message of the node's errors, without
patient data.
"""

from dataclasses import dataclass
from traceback import format_tb

from dicom_node.errors import (
    Corrupt,
    DestinationUnknown,
    ExampleNotEmbeddable,
    ExampleNotIndexed,
    IdentifierMismatch,
    Rejected,
    SopClassMismatch,
    SopInstanceInvalid,
    SpaceUnknown,
    Unavailable,
)

MAXIMUM_COMMENT = 64


@dataclass(frozen=True, slots=True)
class Status:
    """A DIMSE status with its Error Comment and Offending Element (a tag), where there are any."""

    code: int
    comment: str = ""
    offending_element: int | None = None


SUCCESS = Status(0x0000)
PENDING = Status(0xFF00)
PENDING_WITHOUT_OPTIONAL_KEYS = Status(0xFF01)
CANCELLED = Status(0xFE00)
SUBOPERATIONS_FAILED = Status(0xA702, "no sub-operation succeeded")
SUBOPERATIONS_WITH_FAILURES = Status(0xB000, "sub-operations failed or had warnings")
SOP_CLASS_NOT_SUPPORTED = Status(0x0122, "the SOP class is not that of the presentation context")

# The first class that an error is an instance of decides; what is in no table is our own failure.
_STORE: tuple[tuple[type[Exception], int], ...] = (
    (SopInstanceInvalid, 0x0117),
    (SopClassMismatch, 0xA900),
    (Rejected, 0xC000),
    (Unavailable, 0xA700),
)
_FIND: tuple[tuple[type[Exception], int], ...] = (
    (ExampleNotIndexed, 0xC001),
    (SpaceUnknown, 0xC002),
    (ExampleNotEmbeddable, 0xC003),
    (Rejected, 0xA900),
    (Unavailable, 0xA700),
)
_RETRIEVE: tuple[tuple[type[Exception], int], ...] = (
    (DestinationUnknown, 0xA801),
    (Rejected, 0xA900),
    (Unavailable, 0xA701),
)
INTERNAL_STORE_ERROR = Status(0xC001, "internal error")
INTERNAL_FIND_ERROR = Status(0xC000, "internal error")
INTERNAL_RETRIEVE_ERROR = Status(0xC000, "internal error")


def of_store(error: Exception) -> Status:
    """Return the C-STORE status of an error."""
    return _status(error, _STORE, INTERNAL_STORE_ERROR)


def of_find(error: Exception) -> Status:
    """Return the C-FIND status of an error."""
    return _status(error, _FIND, INTERNAL_FIND_ERROR)


def of_retrieve(error: Exception, begun: bool) -> Status:
    """Return the C-MOVE or C-GET status of an error; `begun` tells whether there were sub-operations already."""
    if begun and isinstance(error, Unavailable):
        return Status(SUBOPERATIONS_FAILED.code, _comment(str(error)))
    return _status(error, _RETRIEVE, INTERNAL_RETRIEVE_ERROR)


def of_suboperations(remaining: int, completed: int, failed: int, warning: int) -> Status:
    """Return the final status of a retrieve by its counts (PS3.4 C.4.2.3.1); what remains was cancelled."""
    if remaining:
        return CANCELLED
    if failed and not completed and not warning:
        return SUBOPERATIONS_FAILED
    return SUBOPERATIONS_WITH_FAILURES if failed or warning else SUCCESS


def describe(error: Exception) -> str:
    """Return an error for the log: the node's by its message, others by type and place, as theirs may quote a value."""
    if isinstance(error, Rejected | Unavailable | Corrupt):
        return f"{type(error).__name__}: {error}"
    return f"{type(error).__name__} at {''.join(format_tb(error.__traceback__))}"


def is_failure(status: Status) -> bool:
    """Tell whether a status says that something was refused or went wrong."""
    return status.code not in (SUCCESS.code, CANCELLED.code) and status.code & 0xFF00 != 0xFF00


def _status(error: Exception, table: tuple[tuple[type[Exception], int], ...], otherwise: Status) -> Status:
    for kind, code in table:
        if isinstance(error, kind):
            tag = error.tag if isinstance(error, IdentifierMismatch) else None
            return Status(code, _comment(str(error)), tag)
    return otherwise


def _comment(text: str) -> str:
    ascii_only = text.encode("ascii", "replace").decode("ascii").replace("\\", "/")
    return ascii_only[:MAXIMUM_COMMENT]
