"""What ends an association from our side: the peer broke the protocol, or our limits."""

from dicom_node.errors import Rejected


class Violation(Rejected):
    """What came is against the protocol or beyond a limit; the association is aborted."""
