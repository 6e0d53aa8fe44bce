"""The three failures of the node, one for each way a caller reacts, and the few cases with a status of their own.

The words are the index's, so that nothing is lost when an error crosses from there; the borders (`dimse/status.py`,
`web/`, the task base) translate them once. A message never holds patient data.
"""

from index_service.errors import Corrupt, Rejected, Unavailable

__all__ = [
    "Corrupt",
    "DestinationUnknown",
    "ExampleNotEmbeddable",
    "ExampleNotIndexed",
    "ExampleUnknown",
    "IdentifierMismatch",
    "Rejected",
    "SopClassMismatch",
    "SopInstanceInvalid",
    "SpaceUnknown",
    "Unavailable",
]


class ExampleUnknown(Rejected):
    """The catalog holds no such example: an answer without rows."""


class ExampleNotIndexed(Unavailable):
    """The example is stored, its vectors are not in the index yet (SIMILARITY.md C001)."""


class SpaceUnknown(Rejected):
    """The named vector space does not exist (C002)."""


class ExampleNotEmbeddable(Rejected):
    """The example has nothing to embed, or could not be decoded (C003)."""


class SopClassMismatch(Rejected):
    """The data set is of another SOP class than its sender says (PS3.4 B.2.3: A900)."""


class SopInstanceInvalid(Rejected):
    """What the sender names the instance by is no UID (PS3.7 annex C.5.6: 0117)."""


class DestinationUnknown(Rejected):
    """The move destination is none of the configured peers (PS3.4 C.4.2.1.5: A801)."""


class IdentifierMismatch(Rejected):
    """A query's Identifier does not fit its SOP class (PS3.4 C.4.1.1.4: A900); `tag` is the offending element."""

    def __init__(self, message: str, tag: int) -> None:
        """Say what is wrong (without the value) and with which element."""
        super().__init__(message)
        self.tag = tag
