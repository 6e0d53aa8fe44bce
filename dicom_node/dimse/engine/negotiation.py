"""The encoding of association requests and of their answers (PS3.8 9.3.2 to 9.3.4, PS3.7 annex D).

Called by the served association; which contexts are accepted is `dicom_node.dimse.presentation`'s. The rule: the
work done for a request is bounded by its length, and items nobody here knows are passed over.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dicom_node.dimse.engine.violation import Violation

APPLICATION_CONTEXT_NAME = "1.2.840.10008.3.1.1.1"
FIXED = struct.Struct(">H2x16s16s32x")
ITEM = struct.Struct(">BxH")
CONTEXT = struct.Struct(">BxBx")
LENGTH = struct.Struct(">L")
PDU_HEADER = struct.Struct(">BxL")
ASSOCIATE_AC, ASSOCIATE_RJ = 0x02, 0x03
APPLICATION_CONTEXT, PROPOSED_CONTEXT, ANSWERED_CONTEXT, USER_INFORMATION = 0x10, 0x20, 0x21, 0x50
ABSTRACT_SYNTAX, TRANSFER_SYNTAX = 0x30, 0x40
MAXIMUM_LENGTH, IMPLEMENTATION_CLASS_UID, ROLE_SELECTION, IMPLEMENTATION_VERSION_NAME = 0x51, 0x52, 0x54, 0x55
ROLES_BYTES = 4
MAXIMUM_ITEMS = 16_384


@dataclass(frozen=True, slots=True)
class Proposal:
    """One proposed presentation context."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Role:
    """Whether the requestor is to be SCU, and SCP, of a SOP class (PS3.7 D.3.3.4)."""

    scu: bool
    scp: bool


@dataclass(frozen=True, slots=True)
class AssociationRequest:
    """What a requestor asks for; AE titles without padding, `maximum_pdu_bytes` 0 for any."""

    protocol_version: int
    called_ae_title: str
    calling_ae_title: str
    proposals: tuple[Proposal, ...]
    roles: Mapping[str, Role]
    maximum_pdu_bytes: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one proposed context: a result of PS3.8 table 9-18 and a transfer syntax."""

    context_id: int
    result: int
    abstract_syntax: str
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What an association is accepted with."""

    called_ae_title: str
    calling_ae_title: str
    answers: Sequence[Answer]
    maximum_pdu_bytes: int
    implementation_class_uid: str
    implementation_version_name: str
    roles: Mapping[str, Role]


def decode_request(body: bytes) -> AssociationRequest:
    """Read the body of an A-ASSOCIATE-RQ PDU. Raises Violation."""
    try:
        return _decode(body)
    except (struct.error, UnicodeDecodeError) as error:
        raise Violation("an association request is cut off or garbled") from error


def encode_acceptance(acceptance: Acceptance) -> bytes:
    """Return the A-ASSOCIATE-AC PDU."""
    user = [
        _item(MAXIMUM_LENGTH, LENGTH.pack(acceptance.maximum_pdu_bytes)),
        _item(IMPLEMENTATION_CLASS_UID, acceptance.implementation_class_uid.encode("ascii")),
        *(_item(ROLE_SELECTION, _encoded_role(uid, role)) for uid, role in acceptance.roles.items()),
        _item(IMPLEMENTATION_VERSION_NAME, acceptance.implementation_version_name.encode("ascii")),
    ]
    body = b"".join(
        (
            FIXED.pack(1, _padded(acceptance.called_ae_title), _padded(acceptance.calling_ae_title)),
            _item(APPLICATION_CONTEXT, APPLICATION_CONTEXT_NAME.encode("ascii")),
            *map(_encoded_answer, acceptance.answers),
            _item(USER_INFORMATION, b"".join(user)),
        )
    )
    return PDU_HEADER.pack(ASSOCIATE_AC, len(body)) + body


def encode_rejection(result: int, source: int, reason: int) -> bytes:
    """Return the A-ASSOCIATE-RJ PDU, PS3.8 table 9-21."""
    return PDU_HEADER.pack(ASSOCIATE_RJ, 4) + bytes((0, result, source, reason))


def _decode(body: bytes) -> AssociationRequest:
    version, called, calling = FIXED.unpack_from(body)
    proposals: dict[int, Proposal] = {}
    roles: dict[str, Role] = {}
    maximum = 0
    for kind, value in _items(body[FIXED.size :]):
        if kind == PROPOSED_CONTEXT:
            proposal = _proposal(value)
            if proposal.context_id in proposals:
                raise Violation("a presentation context ID is proposed twice")
            proposals[proposal.context_id] = proposal
        elif kind == USER_INFORMATION:
            for user_kind, user_value in _items(value):
                if user_kind == MAXIMUM_LENGTH:
                    maximum = LENGTH.unpack(user_value)[0]
                elif user_kind == ROLE_SELECTION:
                    uid, role = _role(user_value)
                    roles[uid] = role
    return AssociationRequest(version, _title(called), _title(calling), tuple(proposals.values()), roles, maximum)


def _items(encoded: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    for _ in range(MAXIMUM_ITEMS):
        if position == len(encoded):
            return
        kind, length = ITEM.unpack_from(encoded, position)
        position += ITEM.size
        if length > len(encoded) - position:
            raise Violation("an item is longer than what holds it")
        yield kind, encoded[position : position + length]
        position += length
    raise Violation("an association request of too many items")


def _proposal(value: bytes) -> Proposal:
    context_id = CONTEXT.unpack_from(value)[0]
    syntaxes = [(kind, _uid(uid)) for kind, uid in _items(value[CONTEXT.size :])]
    abstract = [uid for kind, uid in syntaxes if kind == ABSTRACT_SYNTAX]
    transfer = tuple(uid for kind, uid in syntaxes if kind == TRANSFER_SYNTAX)
    if context_id % 2 == 0 or len(abstract) != 1:
        raise Violation("a presentation context without abstract syntax or with an even ID")
    return Proposal(context_id, abstract[0], transfer)


def _role(value: bytes) -> tuple[str, Role]:
    length = struct.unpack_from(">H", value)[0]
    if len(value) != length + ROLES_BYTES:
        raise Violation("a role selection of an impossible length")
    return _uid(value[2 : 2 + length]), Role(bool(value[-2]), bool(value[-1]))


def _uid(encoded: bytes) -> str:
    return encoded.decode("ascii").rstrip("\0 ")


def _title(encoded: bytes) -> str:
    return encoded.decode("latin-1").strip(" \0")


def _padded(title: str) -> bytes:
    return title.encode("latin-1").ljust(16)


def _item(kind: int, value: bytes) -> bytes:
    return ITEM.pack(kind, len(value)) + value


def _encoded_answer(answer: Answer) -> bytes:
    syntax = _item(TRANSFER_SYNTAX, answer.transfer_syntax.encode("ascii"))
    return _item(ANSWERED_CONTEXT, CONTEXT.pack(answer.context_id, answer.result) + syntax)


def _encoded_role(uid: str, role: Role) -> bytes:
    return struct.pack(">H", len(uid)) + uid.encode("ascii") + bytes((role.scu, role.scp))
