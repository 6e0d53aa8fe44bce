"""Everything that goes over the wire comes out as it went in; what cannot be a value of the port is Rejected."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from index_service import messages_pb2 as messages
from index_service import wire
from index_service.errors import Corrupt, Rejected
from index_service.operations import CreateSpace, Delete, Upsert, decode, encode
from index_service.port import Answer, Condition, Example, Filter, Neighbor, Query, ShardStats
from tests.contracts.index_data import X6_Y8, X, Y, content, new_space, record, vectors

SOURCE = Path(wire.__file__).parent


@pytest.mark.parametrize(
    "example", [Example("g"), Example("g", ""), Example("g", "p", "k"), Example("g", key="k", position=0)]
)
def test_examples(example: Example) -> None:
    assert wire.example_of(wire.example_message(example)) == example


@pytest.mark.parametrize(
    "query",
    [
        Query("s", 1, example=Example("g")),
        Query("s", 1000, example=Example("g", "p"), level="key", exact=True, minimum_score=0.0),
        Query(
            "s",
            9,
            example=Example("g"),
            comparable=("modality", "body_part"),
            filter=Filter((Condition("a", "not_in", ("b", "")),), frozenset("gh"), frozenset("i")),
        ),
        Query("s", 9, example=Example("g"), filter=Filter(groups=frozenset())),
    ],
)
def test_queries(query: Query) -> None:
    assert wire.query_of(wire.query_message(query)) == query


def test_vectors_of_a_query_travel_as_its_one_part() -> None:
    sent = Query("s", 1, vectors=vectors(X, X6_Y8), attributes={"modality": "CT"})
    (part,) = wire.query_of(wire.query_message(sent)).parts
    np.testing.assert_array_equal(part.vectors, vectors(X, X6_Y8))
    assert part.attributes == {"modality": "CT"}


def test_answers_and_stats() -> None:
    answer = Answer((Neighbor("g", "p", "k", -3, 0.25), Neighbor("h", "p", "k", 2**62, 2.0)), 7, 1, 2)
    assert wire.answer_of(wire.answer_message(answer)) == answer
    stats = ShardStats(3, True, {"s": 5}, 1, 2, 5, 100, 2**40, 9)
    assert wire.stats_of(wire.stats_message(stats)) == stats


def test_records_are_cut_into_lists_of_a_size_each_record_whole() -> None:
    made = [wire.record_message(record(f"g/s/{i}", X)) for i in range(10)]
    lists = list(wire.record_lists(made, 2 * made[0].ByteSize()))
    assert [[each.key for each in batch.records] for batch in lists] == [
        [f"g/s/{i}", f"g/s/{i + 1}"] for i in range(0, 10, 2)
    ]
    assert [len(batch.records) for batch in wire.record_lists(made[:3], 1)] == [1, 1, 1]


@pytest.mark.parametrize(
    "message",
    [
        messages.Query(space="s", level="study"),
        messages.Query(space="s", level="group", filter={"conditions": [{"attribute": "a", "operator": "like"}]}),
        messages.Query(space="s", level="group", parts=[{"vectors": bytes(10), "dimension": 2}]),
        messages.Query(space="s", level="group", parts=[{"vectors": bytes(8), "dimension": 0}]),
        messages.Query(space="s", level="group", parts=[{"vectors": b"", "dimension": 4}]),
    ],
)
def test_a_message_that_is_no_query_is_rejected(message: messages.Query) -> None:
    with pytest.raises(Rejected):
        wire.query_of(message)


@pytest.mark.parametrize("size", [0, 3, 15])
def test_vectors_that_do_not_fill_their_positions_are_rejected(size: int) -> None:
    with pytest.raises(Rejected):
        wire.record_of(messages.Record(key="k", vectors=bytes(size), positions=[1, 2]))


def test_operations_come_out_of_the_log_as_they_went_in() -> None:
    space = new_space()
    assert decode(*encode(CreateSpace(space))) == CreateSpace(space)
    assert decode(*encode(Delete("s", {"k": "g"}, ("h",)))) == Delete("s", {"k": "g"}, ("h",))
    upsert = decode(*encode(Upsert("s", (record("g/s/i", X, Y, order=-1.5, attributes={"sex": ""}),))))
    assert isinstance(upsert, Upsert)
    assert content(upsert.records) == [
        ("g/s/i", "g", "g/s", [list(X), list(Y)], (1, 2), 1, -1.5, {"sex": ""}),
    ]


@pytest.mark.parametrize(("kind", "payload"), [(9, b""), (2, b"\xff\xff"), (2, b"\x12\x02\x22\x00")])
def test_an_entry_that_is_no_operation_is_corrupt(kind: int, payload: bytes) -> None:
    with pytest.raises(Corrupt):
        decode(kind, payload)


def test_the_generated_messages_are_those_of_the_proto_file(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools")
    (tmp_path / "index_service").mkdir()
    shutil.copy(SOURCE / "messages.proto", tmp_path / "index_service")
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", "--python_out=.", "--pyi_out=."]
    subprocess.run([*command, "index_service/messages.proto"], cwd=tmp_path, check=True)
    for name in ("messages_pb2.py", "messages_pb2.pyi"):
        made, kept = (_without_version((folder / name).read_text()) for folder in (tmp_path / "index_service", SOURCE))
        assert made == kept, f"{name} is out of date: see the head of messages.proto"


def _without_version(source: str) -> list[str]:
    """Drop the lines that only name the compiler's version."""
    lines = source.splitlines()
    return [
        line for line in lines if not line.startswith("# Protobuf Python Version") and not line.strip(" ,").isdigit()
    ]
