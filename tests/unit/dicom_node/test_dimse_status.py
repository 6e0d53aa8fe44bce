"""Which error is answered with which status."""

import pytest

from dicom_node.dimse.status import CANCELLED, PENDING, SUCCESS, Status, describe, is_failure, of_find, of_store
from dicom_node.errors import (
    Corrupt,
    ExampleNotEmbeddable,
    ExampleNotIndexed,
    IdentifierMismatch,
    Rejected,
    SopClassMismatch,
    SopInstanceInvalid,
    SpaceUnknown,
    Unavailable,
)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Rejected("why"), Status(0xC000, "why")),
        (SopInstanceInvalid("why"), Status(0x0117, "why")),
        (SopClassMismatch("why"), Status(0xA900, "why")),
        (Unavailable("why"), Status(0xA700, "why")),
        (Corrupt("why"), Status(0xC001, "internal error")),
        (KeyError("Doe^Jane"), Status(0xC001, "internal error")),
    ],
)
def test_statuses_of_c_store(error: Exception, status: Status) -> None:
    assert of_store(error) == status
    assert is_failure(status)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (IdentifierMismatch("why", 0x00100020), Status(0xA900, "why", 0x00100020)),
        (Rejected("why"), Status(0xA900, "why")),
        (ExampleNotIndexed("why"), Status(0xC001, "why")),
        (SpaceUnknown("why"), Status(0xC002, "why")),
        (ExampleNotEmbeddable("why"), Status(0xC003, "why")),
        (Unavailable("why"), Status(0xA700, "why")),
        (Corrupt("why"), Status(0xC000, "internal error")),
        (ValueError("Doe^Jane"), Status(0xC000, "internal error")),
    ],
)
def test_statuses_of_c_find(error: Exception, status: Status) -> None:
    assert of_find(error) == status


def test_a_comment_is_64_ascii_characters_at_most() -> None:
    assert of_find(Rejected("é\\" + "x" * 100)).comment == "?/" + "x" * 62


def test_what_is_no_failure() -> None:
    assert not any(is_failure(status) for status in (SUCCESS, CANCELLED, PENDING))


def test_an_error_that_is_not_ours_is_described_without_its_message() -> None:
    try:
        raise ValueError("Doe^Jane")
    except ValueError as error:
        described = describe(error)
    assert described.startswith("ValueError at ")
    assert "test_dimse_status.py" in described
    assert "Jane" not in described.replace('"Doe^Jane"', "")  # the line of source is shown, the value is not
    assert describe(Unavailable("the disk is full")) == "Unavailable: the disk is full"
