"""The tables and rules of negotiation."""

import pytest

from dicom_node.dimse.presentation import KEPT_TRANSFER_SYNTAXES, STORAGE, Negotiated, Result, is_storage, negotiate

CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
HTJ2K = "1.2.840.10008.1.2.4.201"
XML = "1.2.840.10008.1.2.6.2"


@pytest.mark.parametrize(
    "uid",
    [
        CT,
        "1.2.840.10008.5.1.4.1.1.6",  # retired ultrasound
        "1.2.840.10008.5.1.4.1.1.66.4",  # segmentation
        "1.2.840.10008.5.1.4.1.1.104.1",  # encapsulated PDF
        "1.3.12.2.1107.5.9.1",  # private
    ],
)
def test_storage(uid: str) -> None:
    assert is_storage(uid)


@pytest.mark.parametrize(
    "uid",
    [
        "1.2.840.10008.1.20.1",  # storage commitment
        "1.2.840.10008.1.3.10",  # media storage directory
        "1.2.840.10008.5.1.4.1.1.201.1",  # inventory
        "1.2.840.10008.5.1.4.1.2.2.2",  # C-MOVE
        "1.2.840.10008.5.1.4.31",  # worklist
    ],
)
def test_no_storage(uid: str) -> None:
    assert not is_storage(uid)


def test_the_tables_are_whole() -> None:
    assert len(STORAGE) >= 195
    assert len(KEPT_TRANSFER_SYNTAXES) >= 53
    assert {DEFLATED, HTJ2K, IMPLICIT} < KEPT_TRANSFER_SYNTAXES
    assert XML not in KEPT_TRANSFER_SYNTAXES


@pytest.mark.parametrize(
    ("abstract_syntax", "proposed", "expected"),
    [
        (CT, [IMPLICIT, EXPLICIT], Negotiated(Result.ACCEPTANCE, IMPLICIT)),
        (CT, [XML, HTJ2K, IMPLICIT], Negotiated(Result.ACCEPTANCE, HTJ2K)),
        (CT, ["1.2.840.113619.5.2"], Negotiated(Result.TRANSFER_SYNTAXES_NOT_SUPPORTED, "1.2.840.113619.5.2")),
        (CT, [], Negotiated(Result.TRANSFER_SYNTAXES_NOT_SUPPORTED, IMPLICIT)),
        ("1.2.840.10008.1.1", [IMPLICIT, EXPLICIT], Negotiated(Result.ACCEPTANCE, EXPLICIT)),
        ("1.2.840.10008.5.1.4.1.2.1.1", [IMPLICIT], Negotiated(Result.ACCEPTANCE, IMPLICIT)),
        ("1.2.840.10008.5.1.4.1.2.1.1", [DEFLATED], Negotiated(Result.TRANSFER_SYNTAXES_NOT_SUPPORTED, DEFLATED)),
        ("1.2.840.10008.5.1.4.1.2.1.2", [IMPLICIT, EXPLICIT], Negotiated(Result.ACCEPTANCE, EXPLICIT)),
        ("1.2.840.10008.5.1.4.1.2.2.2", [IMPLICIT], Negotiated(Result.ACCEPTANCE, IMPLICIT)),
        ("1.2.840.10008.5.1.4.1.2.1.3", [DEFLATED], Negotiated(Result.TRANSFER_SYNTAXES_NOT_SUPPORTED, DEFLATED)),
        ("1.2.840.10008.5.1.4.1.2.2.3", [DEFLATED, EXPLICIT], Negotiated(Result.ACCEPTANCE, EXPLICIT)),
        ("1.2.840.10008.5.1.4.31", [EXPLICIT], Negotiated(Result.ABSTRACT_SYNTAX_NOT_SUPPORTED, EXPLICIT)),
    ],
)
def test_negotiation(abstract_syntax: str, proposed: list[str], expected: Negotiated) -> None:
    assert negotiate(abstract_syntax, proposed) == expected
