"""Which error is answered with which status."""

import pytest

from dicom_node.dimse.status import (
    CANCELLED,
    PENDING,
    SUCCESS,
    Status,
    describe,
    is_failure,
    of_find,
    of_retrieve,
    of_store,
    of_suboperations,
)
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


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (IdentifierMismatch("why", 0x0020000D), Status(0xA900, "why", 0x0020000D)),
        (DestinationUnknown("why"), Status(0xA801, "why")),
        (Unavailable("why"), Status(0xA701, "why")),
        (Corrupt("why"), Status(0xC000, "internal error")),
        (ValueError("Doe^Jane"), Status(0xC000, "internal error")),
    ],
)
def test_statuses_of_c_move_and_c_get(error: Exception, status: Status) -> None:
    assert of_retrieve(error, begun=False) == status


def test_a_retrieve_that_could_not_go_on() -> None:
    assert of_retrieve(Unavailable("why"), begun=True) == Status(0xA702, "why")
    assert of_retrieve(DestinationUnknown("why"), begun=True) == Status(0xA801, "why")


@pytest.mark.parametrize(
    ("remaining", "completed", "failed", "warning", "code"),
    [
        (0, 0, 0, 0, 0x0000),
        (0, 2, 0, 0, 0x0000),
        (0, 1, 1, 0, 0xB000),
        (0, 0, 0, 1, 0xB000),
        (0, 0, 1, 1, 0xB000),
        (0, 0, 2, 0, 0xA702),
        (1, 0, 2, 0, 0xFE00),
    ],
)
def test_the_final_status_of_a_retrieve(remaining: int, completed: int, failed: int, warning: int, code: int) -> None:
    assert of_suboperations(remaining, completed, failed, warning).code == code


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
