"""What every `VectorIndex` does, on each of them: a shard with either engine, a router, a client of a real service."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from index_service.errors import Rejected
from index_service.port import Condition, Example, ExamplePart, Filter, Query, Record, VectorIndex
from index_service.router import Router
from index_service.settings import IndexSettings
from index_service.shard import Shard
from index_service.vector_space import VectorSpace
from tests.contracts.index_data import X6_Y8, X8_Y6, W, X, Y, Z, content, groups, new_space, record, vectors
from tests.contracts.index_process import index_process


@pytest.fixture(scope="module", params=["shard, flat", "shard, exact", "router", "client"])
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorIndex]:
    settings = IndexSettings(data_dir=tmp_path_factory.mktemp("index"))
    if request.param == "client":
        with index_process(settings) as running:
            yield running.client
        return
    index = _in_process(request.param, settings)
    yield index
    index.close()


def _in_process(kind: str, settings: IndexSettings) -> VectorIndex:
    if kind == "router":
        return Router([Shard(settings, 0), Shard(settings, 1)], settings)
    engine = kind.removeprefix("shard, ")
    return Shard(settings.model_copy(update={"shards": 1, "engine": engine}), 0)


@pytest.fixture
def space(index: VectorIndex) -> VectorSpace:
    space = new_space()
    index.create_space(space)
    return space


# --- spaces ------------------------------------------------------------------------------------------------------


def test_a_space_created_again_stays_the_one_it_is(index: VectorIndex, space: VectorSpace) -> None:
    index.create_space(space)
    assert index.spaces().count(space) == 1


def test_a_space_of_the_same_name_with_another_definition_is_rejected(index: VectorIndex, space: VectorSpace) -> None:
    with pytest.raises(Rejected):
        index.create_space(VectorSpace(space.name, 5, space.model, space.preprocessing, space.version))
    assert space in index.spaces()


def test_spaces_are_listed_by_name(index: VectorIndex, space: VectorSpace) -> None:
    earlier = VectorSpace(f"a-{space.name}", 4, "model", "preprocessing", "1")
    index.create_space(earlier)
    names = [each.name for each in index.spaces()]
    assert names == sorted(names)
    assert {space.name, earlier.name} <= set(names)


@pytest.mark.parametrize("dimension", [-1, 0, 16385])
def test_a_space_of_impossible_dimension_is_rejected(index: VectorIndex, dimension: int) -> None:
    with pytest.raises(Rejected):
        index.create_space(new_space(dimension))


def test_vectors_of_different_spaces_never_mix(index: VectorIndex, space: VectorSpace) -> None:
    other = new_space()
    index.create_space(other)
    index.upsert(space.name, [record("here/s/i", X)])
    index.upsert(other.name, [record("there/s/i", X)])
    assert groups(index.search(Query(space.name, 10, vectors=vectors(X)))) == [("here", 0.0)]


# --- upsert and fetch --------------------------------------------------------------------------------------------


def test_what_is_stored_is_fetched_at_unit_length(index: VectorIndex, space: VectorSpace) -> None:
    index.upsert(
        space.name,
        [record("g/s/i", (3, 0, 0, 0), (0, -6, 8, 0), positions=(2, 9), order=1.5, attributes={"modality": "CT"})],
    )
    assert content(index.fetch(space.name, Example("g"))) == [
        ("g/s/i", "g", "g/s", [[1, 0, 0, 0], [0, -0.6, 0.8, 0]], (2, 9), 1, 1.5, {"modality": "CT"})
    ]


def test_fetch_orders_by_part_then_order_then_key(index: VectorIndex, space: VectorSpace) -> None:
    index.upsert(
        space.name,
        [
            record("g/s2/a", X),
            record("g/s1/c", X, order=2),
            record("g/s1/b", X, order=10),
            record("g/s1/a", X, order=10),
        ],
    )
    keys = [each.key for each in index.fetch(space.name, Example("g"))]
    assert keys == ["g/s1/c", "g/s1/a", "g/s1/b", "g/s2/a"]


def test_fetch_narrows_to_part_key_and_position(index: VectorIndex, space: VectorSpace) -> None:
    index.upsert(space.name, [record("g/s/i", X, Y, positions=(1, 7)), record("g/s/j", Z), record("g/t/i", W)])
    fetched = [
        [(each.key, each.positions) for each in index.fetch(space.name, example)]
        for example in (
            Example("g", part="g/s"),
            Example("g", key="g/s/j"),
            Example("g", "g/s", "g/s/i", 7),
            Example("g", "g/s", "g/s/i", 2),
            Example("other"),
        )
    ]
    assert fetched == [[("g/s/i", (1, 7)), ("g/s/j", (1,))], [("g/s/j", (1,))], [("g/s/i", (7,))], [], []]


def test_the_same_again_changes_nothing(index: VectorIndex, space: VectorSpace) -> None:
    records = [record("g/s/i", X, Y, attributes={"sex": "F"})]
    index.upsert(space.name, records)
    before = [stats.last_sequence for stats in index.stats()]
    index.upsert(space.name, records)
    assert [stats.last_sequence for stats in index.stats()] == before


@pytest.mark.parametrize(
    ("version", "expected"),
    [pytest.param(4, X, id="lower, ignored"), pytest.param(5, Y, id="equal"), pytest.param(6, Y, id="higher")],
)
def test_a_record_replaces_one_of_no_higher_version(
    index: VectorIndex, space: VectorSpace, version: int, expected: tuple[int, ...]
) -> None:
    index.upsert(space.name, [record("g/s/i", X, version=5)])
    index.upsert(space.name, [record("g/s/i", Y, version=version)])
    assert [each.vectors.tolist() for each in index.fetch(space.name, Example("g"))] == [[list(expected)]]
    assert groups(index.search(Query(space.name, 9, vectors=vectors(expected)))) == [("g", 0.0)]


def test_a_replaced_record_leaves_its_old_part(index: VectorIndex, space: VectorSpace) -> None:
    index.upsert(space.name, [record("g/s/i", X)])
    index.upsert(space.name, [record("g/s/i", X, part="g/t", version=2)])
    assert [each.part for each in index.fetch(space.name, Example("g"))] == ["g/t"]


def test_of_one_key_twice_in_a_call_the_later_wins_unless_its_version_is_lower(
    index: VectorIndex, space: VectorSpace
) -> None:
    index.upsert(
        space.name,
        [
            record("g/s/i", X, version=2),
            record("g/s/i", Y, version=1),
            record("g/s/j", X),
            record("g/s/j", Y),
        ],
    )
    assert [each.vectors.tolist() for each in index.fetch(space.name, Example("g"))] == [[list(X)], [list(Y)]]


def test_the_same_key_in_two_groups_is_two_records(index: VectorIndex, space: VectorSpace) -> None:
    index.upsert(space.name, [record("k", X, group="g", part="s"), record("k", Y, group="h", part="s")])
    assert groups(index.search(Query(space.name, 9, vectors=vectors(X)))) == [("g", 0.0), ("h", 1.0)]


NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(record("g/s/i", (1, 0, 0)), id="dimension"),
        pytest.param(record("g/s/i", X, (NAN, 0, 0, 0)), id="NaN"),
        pytest.param(record("g/s/i", X, (0, INFINITE, 0, 0)), id="infinity"),
        pytest.param(record("g/s/i", X, (0, 0, 0, 0)), id="zero"),
        pytest.param(record("", X, group="g", part="s"), id="no key"),
        pytest.param(Record("k", "", "s", vectors(X), (1,)), id="no group"),
        pytest.param(Record("k", "g", "", vectors(X), (1,)), id="no part"),
        pytest.param(Record("k", "g", "s", np.empty((0, 4), np.float32), ()), id="no vector"),
        pytest.param(record("g/s/i", X, positions=(1, 2)), id="positions too many"),
        pytest.param(record("g/s/i", X, Y, positions=(2, 2)), id="positions not ascending"),
        pytest.param(record("g/s/i", X, positions=(2**63,)), id="position too large"),
        pytest.param(record("g/s/i", X, version=-1), id="version negative"),
        pytest.param(record("g/s/i", X, version=2**63), id="version too large"),
        pytest.param(record("g/s/i", X, order=NAN), id="order"),
        pytest.param(record("g/s/\ud800", X), id="lone surrogate"),
        pytest.param(record("g/s/" + 1021 * "i", X), id="key too long"),
        pytest.param(record("g/s/i", X, attributes={"": "v"}), id="attribute without name"),
        pytest.param(record("g/s/i", X, attributes={f"a{i}": "v" for i in range(65)}), id="attributes too many"),
    ],
)
def test_a_wrong_record_is_rejected_and_not_logged(index: VectorIndex, space: VectorSpace, wrong: Record) -> None:
    before = [stats.last_sequence for stats in index.stats()]
    with pytest.raises(Rejected):
        index.upsert(space.name, [wrong])
    assert [stats.last_sequence for stats in index.stats()] == before
    assert index.fetch(space.name, Example("g")) == []


def test_an_unknown_space_is_rejected(index: VectorIndex) -> None:
    with pytest.raises(Rejected):
        index.upsert("unknown", [record("g/s/i", X)])
    with pytest.raises(Rejected):
        index.search(Query("unknown", 1, vectors=vectors(X)))
    with pytest.raises(Rejected):
        index.fetch("unknown", Example("g"))
    with pytest.raises(Rejected):
        index.delete("unknown", groups=["g"])


def test_what_many_threads_store_is_all_there(index: VectorIndex, space: VectorSpace) -> None:
    def store(first: int) -> None:
        for i in range(first, first + 20):
            index.upsert(space.name, [record(f"g{i}/s/i", X, (1, i, 0, 0))])
            assert index.search(Query(space.name, 1, example=Example(f"g{i}"))).neighbors[0].distance == 0.0

    threads = [threading.Thread(target=store, args=(20 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answer = index.search(Query(space.name, 1000, vectors=vectors(X)))
    assert {neighbor.group for neighbor in answer.neighbors} == {f"g{i}" for i in range(80)}
    assert sum(stats.spaces[space.name] for stats in index.stats()) == 160


# --- delete ------------------------------------------------------------------------------------------------------


def test_delete_takes_keys_and_groups_and_counts_records(index: VectorIndex, space: VectorSpace) -> None:
    index.upsert(space.name, [record(f"{g}/{s}/{i}", X) for g in "abc" for s in "st" for i in "ij"])
    assert index.delete(space.name, {"a/s/i": "a", "a/s/unknown": "a", "b/s/i": "c"}, ["b", "unknown"]) == 5
    assert [each.key for each in index.fetch(space.name, Example("a"))] == ["a/s/j", "a/t/i", "a/t/j"]
    assert index.fetch(space.name, Example("b")) == []
    assert groups(index.search(Query(space.name, 9, vectors=vectors(X)))) == [("a", 0.0), ("c", 0.0)]


def test_deleting_nothing_deletes_nothing(index: VectorIndex, space: VectorSpace) -> None:
    index.upsert(space.name, [record("g/s/i", X)])
    assert index.delete(space.name) == 0
    assert len(index.fetch(space.name, Example("g"))) == 1


def test_after_a_delete_any_version_is_stored_again(index: VectorIndex, space: VectorSpace) -> None:
    index.upsert(space.name, [record("g/s/i", X, version=9)])
    index.delete(space.name, {"g/s/i": "g"})
    index.upsert(space.name, [record("g/s/i", Y, version=1)])
    assert groups(index.search(Query(space.name, 9, vectors=vectors(Y)))) == [("g", 0.0)]


# --- search: distances and order ---------------------------------------------------------------------------------


def test_neighbors_come_nearest_first_with_their_cosine_distance(index: VectorIndex, space: VectorSpace) -> None:
    index.upsert(
        space.name,
        [record("far/s/i", (-2, 0, 0, 0)), record("same/s/i", X), record("near/s/i", X6_Y8), record("off/s/i", Z)],
    )
    answer = index.search(Query(space.name, 9, vectors=vectors((5, 0, 0, 0))))
    assert groups(answer) == [("same", 0.0), ("near", 0.4), ("off", 1.0), ("far", 2.0)]
    assert (answer.groups_searched, answer.partial) == (4, False)


def test_equal_distances_are_ordered_by_group_part_and_key(index: VectorIndex, space: VectorSpace) -> None:
    index.upsert(space.name, [record(f"{g}/{s}/{i}", X) for g in "cab" for s in "ts" for i in "ji"])
    by_key = index.search(Query(space.name, 5, vectors=vectors(X), level="key"))
    assert [neighbor.key for neighbor in by_key.neighbors] == ["a/s/i", "a/s/j", "a/t/i", "a/t/j", "b/s/i"]
    assert [name for name, _ in groups(index.search(Query(space.name, 2, vectors=vectors(X))))] == ["a", "b"]


def test_k_is_a_limit_and_all_come_when_there_are_fewer(index: VectorIndex, space: VectorSpace) -> None:
    index.upsert(space.name, [record(f"g{i:04d}/s/i", (1, i / 2000, 0, 0)) for i in range(1100)])
    assert len(index.search(Query(space.name, 1, vectors=vectors(X))).neighbors) == 1
    thousand = index.search(Query(space.name, 1000, vectors=vectors(X)))
    assert [name for name, _ in groups(thousand)] == [f"g{i:04d}" for i in range(1000)]


def test_a_minimum_score_cuts_the_answer(index: VectorIndex, space: VectorSpace) -> None:
    index.upsert(space.name, [record("a/s/i", X), record("b/s/i", X8_Y6), record("c/s/i", X6_Y8)])
    found = index.search(Query(space.name, 9, vectors=vectors(X), minimum_score=0.8))
    assert groups(found) == [("a", 0.0), ("b", 0.2)]


@pytest.mark.parametrize("level", ["group", "part", "key"])
def test_an_empty_space_answers_with_nothing(index: VectorIndex, space: VectorSpace, level: str) -> None:
    answer = index.search(Query(space.name, 9, vectors=vectors(X), level=level))
    assert (answer.neighbors, answer.groups_searched, answer.partial) == ((), 0, False)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({}, id="no example"),
        pytest.param({"example": Example("g"), "vectors": vectors(X)}, id="two examples"),
        pytest.param({"vectors": vectors((1, 0, 0))}, id="dimension"),
        pytest.param({"vectors": vectors((0, 0, 0, 0))}, id="zero vector"),
        pytest.param({"vectors": vectors((NAN, 0, 0, 0))}, id="NaN"),
        pytest.param({"vectors": np.ones(4, np.float32)}, id="one-dimensional"),
        pytest.param({"vectors": np.empty((0, 4), np.float32)}, id="no vector"),
        pytest.param({"vectors": vectors(X), "k": 0}, id="k 0"),
        pytest.param({"vectors": vectors(X), "k": 1001}, id="k too large"),
        pytest.param({"vectors": vectors(X), "level": "study"}, id="level"),
        pytest.param({"vectors": vectors(X), "minimum_score": NAN}, id="minimum score"),
        pytest.param({"vectors": vectors(X), "filter": Filter((Condition("a", "like", ("b",)),))}, id="operator"),
        pytest.param({"vectors": vectors(X), "filter": Filter((Condition("a", "range", ("b",)),))}, id="range"),
        pytest.param({"example": Example("unknown")}, id="unknown group"),
        pytest.param({"example": Example("g", key="unknown")}, id="unknown key"),
    ],
)
def test_a_wrong_query_is_rejected(index: VectorIndex, space: VectorSpace, wrong: dict[str, object]) -> None:
    index.upsert(space.name, [record("g/s/i", X)])
    with pytest.raises(Rejected):
        index.search(Query(**{"space": space.name, "k": 1} | wrong))


# --- search: what is compared with what --------------------------------------------------------------------------


def test_an_example_is_searched_by_its_stored_vectors_and_finds_itself_first(
    index: VectorIndex, space: VectorSpace
) -> None:
    index.upsert(space.name, [record("a/s/i", X, Y), record("b/s/i", Y), record("c/s/i", Z)])
    of_group = index.search(Query(space.name, 9, example=Example("a")))
    of_frame = index.search(Query(space.name, 9, example=Example("a", "a/s", "a/s/i", 2)))
    assert groups(of_group) == [("a", 0.0), ("b", 0.5), ("c", 1.0)]
    assert groups(of_frame) == [("a", 0.0), ("b", 0.0), ("c", 1.0)]


def test_without_its_group_an_example_is_not_among_the_neighbors(index: VectorIndex, space: VectorSpace) -> None:
    index.upsert(space.name, [record("a/s/i", X), record("b/s/i", X8_Y6)])
    found = index.search(Query(space.name, 9, example=Example("a"), filter=Filter(excluded_groups=frozenset("a"))))
    assert groups(found) == [("b", 0.2)]


def test_up_to_three_vectors_are_compared_one_way(index: VectorIndex, space: VectorSpace) -> None:
    index.upsert(space.name, [record("a/s/i", X, Y, Z, W)])
    found = index.search(Query(space.name, 9, vectors=vectors(X, Y, Z)))
    assert groups(found) == [("a", 0.0)]


def test_more_vectors_are_compared_both_ways(index: VectorIndex, space: VectorSpace) -> None:
    # Towards a/s every vector finds X or Y at 1, 1, 0, 0; back from it both find themselves: (0.5 + 1) / 2.
    index.upsert(space.name, [record("a/s/i", X, Y)])
    assert groups(index.search(Query(space.name, 9, vectors=vectors(X, Y, Z, W)))) == [("a", 0.25)]


def test_each_part_of_the_example_takes_the_best_part_of_the_group_and_all_count_the_same(
    index: VectorIndex, space: VectorSpace
) -> None:
    index.upsert(space.name, [record("a/s/i", X), record("a/t/i", X6_Y8), record("a/u/i", Z)])
    parts = (ExamplePart(vectors(X)), ExamplePart(vectors(Y)))
    found = index.search(Query(space.name, 9, parts=parts))
    assert groups(found) == [("a", 0.1)]
    assert (found.neighbors[0].part, found.neighbors[0].key) == ("a/s", "a/s/i")


def test_only_comparable_parts_are_compared_and_a_missing_one_counts_nothing(
    index: VectorIndex, space: VectorSpace
) -> None:
    ct, mr = {"modality": "CT"}, {"modality": "MR"}
    index.upsert(
        space.name,
        [
            record("example/s/i", X, attributes=ct),
            record("example/t/i", Y, attributes=mr),
            record("half/s/i", X, attributes=ct),
            record("swapped/s/i", Y, attributes=ct),
            record("swapped/t/i", X, attributes=mr),
            record("other/s/i", X),
        ],
    )
    found = index.search(Query(space.name, 9, example=Example("example"), comparable=("modality",)))
    assert groups(found) == [("example", 0.0), ("half", 0.5), ("swapped", 1.0)]


def test_parts_without_the_attribute_are_comparable_with_each_other(index: VectorIndex, space: VectorSpace) -> None:
    index.upsert(space.name, [record("a/s/i", X), record("b/s/i", X, attributes={"modality": "CT"})])
    found = index.search(Query(space.name, 9, vectors=vectors(X), comparable=("modality",)))
    assert groups(found) == [("a", 0.0)]


def test_a_neighbor_names_the_record_and_position_that_match_best(index: VectorIndex, space: VectorSpace) -> None:
    index.upsert(
        space.name,
        [record("a/s/i", Z, W, positions=(3, 4)), record("a/s/j", Y, X6_Y8, X8_Y6, positions=(5, 7, 9), order=1)],
    )
    neighbor = index.search(Query(space.name, 1, vectors=vectors(X))).neighbors[0]
    assert (neighbor.part, neighbor.key, neighbor.position, neighbor.distance) == ("a/s", "a/s/j", 9, 0.2)


def test_levels_part_and_key_rank_parts_and_records(index: VectorIndex, space: VectorSpace) -> None:
    index.upsert(
        space.name, [record("a/s/i", X), record("a/s/j", Y, order=1), record("a/t/i", X6_Y8), record("b/s/i", X8_Y6)]
    )
    by_part = index.search(Query(space.name, 9, vectors=vectors(X), level="part"))
    assert [(n.part, n.key, n.distance) for n in by_part.neighbors] == [
        ("a/s", "a/s/i", 0.0),
        ("b/s", "b/s/i", 0.2),
        ("a/t", "a/t/i", 0.4),
    ]
    by_key = index.search(Query(space.name, 3, vectors=vectors(X), level="key"))
    assert [(n.key, n.distance) for n in by_key.neighbors] == [("a/s/i", 0.0), ("b/s/i", 0.2), ("a/t/i", 0.4)]


def test_a_large_part_is_compared_by_vectors_evenly_taken_from_it(index: VectorIndex, space: VectorSpace) -> None:
    # 64 records in two halves: 32 are taken, 16 of each half, whatever order they arrived in.
    halves = [record(f"a/s/{i:02d}", X if i < 32 else Y, order=i) for i in range(64)]
    index.upsert(space.name, halves[::-1])
    found = index.search(Query(space.name, 9, vectors=vectors(X, X, X, X)))
    assert groups(found) == [("a", 0.25)]


# --- search: filters ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filter_", "expected"),
    [
        pytest.param(Filter(), "abcd", id="none"),
        pytest.param(Filter((Condition("sex", "in", ("F",)),)), "ac", id="in"),
        pytest.param(Filter((Condition("sex", "in", ("F", "M")),)), "abc", id="in several"),
        pytest.param(Filter((Condition("sex", "in", ()),)), "", id="in none"),
        pytest.param(Filter((Condition("sex", "not_in", ("F",)),)), "bd", id="not in, lacking included"),
        pytest.param(Filter((Condition("date", "range", ("20200101", "20201231")),)), "ab", id="range"),
        pytest.param(Filter((Condition("date", "range", ("20200601", "")),)), "bc", id="range open above"),
        pytest.param(Filter((Condition("date", "range", ("", "20200601")),)), "ab", id="range open below"),
        pytest.param(Filter((Condition("nowhere", "in", ("F",)),)), "", id="in of unknown attribute"),
        pytest.param(Filter((Condition("nowhere", "not_in", ("F",)),)), "abcd", id="not in of unknown attribute"),
        pytest.param(
            Filter((Condition("sex", "in", ("F",)), Condition("date", "range", ("", "20201231")))), "a", id="both"
        ),
        pytest.param(Filter(groups=frozenset("bd")), "bd", id="groups"),
        pytest.param(Filter(groups=frozenset()), "", id="no group"),
        pytest.param(Filter(groups=frozenset(["unknown"])), "", id="unknown group"),
        pytest.param(Filter(excluded_groups=frozenset("bd")), "ac", id="excluded"),
        pytest.param(Filter(groups=frozenset("ab"), excluded_groups=frozenset("b")), "a", id="groups and excluded"),
    ],
)
@pytest.mark.parametrize("exact", [False, True])
def test_a_filter_decides_which_groups_are_searched(
    index: VectorIndex, space: VectorSpace, filter_: Filter, expected: str, exact: bool
) -> None:
    index.upsert(
        space.name,
        [
            record("a/s/i", X, attributes={"sex": "F", "date": "20200101"}),
            record("b/s/i", X8_Y6, attributes={"sex": "M", "date": "20200601"}),
            record("c/s/i", X6_Y8, attributes={"sex": "F", "date": "20210101"}),
            record("d/s/i", Y),
        ],
    )
    answer = index.search(Query(space.name, 9, vectors=vectors(X), filter=filter_, exact=exact))
    assert [name for name, _ in groups(answer)] == list(expected)
    assert answer.groups_searched == len(expected)


def test_within_a_group_only_records_that_pass_are_compared(index: VectorIndex, space: VectorSpace) -> None:
    index.upsert(
        space.name,
        [record("a/s/i", X, attributes={"kind": "other"}), record("a/s/j", X6_Y8, attributes={"kind": "wanted"})],
    )
    wanted = Filter((Condition("kind", "in", ("wanted",)),))
    neighbor = index.search(Query(space.name, 9, vectors=vectors(X), filter=wanted)).neighbors[0]
    assert (neighbor.key, neighbor.distance) == ("a/s/j", 0.4)


@pytest.mark.parametrize("level", ["group", "part", "key"])
def test_a_filter_loses_no_result_however_many_nearer_ones_it_drops(
    index: VectorIndex, space: VectorSpace, level: str
) -> None:
    crowd = [record(f"near{i:03d}/s/i", (1, i / 10000, 0, 0)) for i in range(700)]
    wanted = [record(f"far{i:03d}/s/i", (-1, i / 100, 0, 0), attributes={"sex": "F"}) for i in range(250)]
    index.upsert(space.name, crowd + wanted)
    only = Filter((Condition("sex", "in", ("F",)),))
    found = index.search(Query(space.name, 100, vectors=vectors(X), filter=only, level=level))
    assert [name for name, _ in groups(found)] == [f"far{249 - i}" for i in range(100)]


def test_a_group_of_many_near_records_does_not_hide_the_others(index: VectorIndex, space: VectorSpace) -> None:
    crowd = [record(f"crowd/s{i % 300}/i{i}", (1, i / 100000, 0, 0), order=i) for i in range(900)]
    others = [record(f"g{i:03d}/s/i", (1, 1 + i, 0, 0)) for i in range(300)]
    index.upsert(space.name, crowd + others)
    found = index.search(Query(space.name, 120, vectors=vectors(X)))
    assert [name for name, _ in groups(found)] == ["crowd", *(f"g{i:03d}" for i in range(119))]


# --- stats -------------------------------------------------------------------------------------------------------


def test_stats_count_what_lives(index: VectorIndex, space: VectorSpace) -> None:
    before = index.stats()
    index.upsert(space.name, [record("a/s/i", X, Y), record("a/s/j", X), record("b/s/i", X), record("c/s/i", X)])
    index.upsert(space.name, [record("a/s/i", Z, version=2)])
    index.delete(space.name, groups=["b"])
    after = index.stats()
    assert sum(stats.spaces[space.name] for stats in after) == 3
    gained = [
        sum(getattr(stats, name) for stats in after) - sum(getattr(stats, name) for stats in before)
        for name in ("vectors", "records", "groups")
    ]
    assert gained == [3, 3, 2]
    assert [stats.shard for stats in after] == list(range(len(after)))
    assert all(stats.available and stats.log_bytes > 0 and stats.memory_bytes > 0 for stats in after)
