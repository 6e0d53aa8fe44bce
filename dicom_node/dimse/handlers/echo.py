"""C-ECHO: answers always, whatever the state of archive, catalog and index."""

from dicom_node.dimse.status import SUCCESS, Status


def answer() -> Status:
    """Return the status of a C-ECHO."""
    return SUCCESS
