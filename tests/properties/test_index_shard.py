"""A shard against a dictionary: whatever is stored, replaced, deleted, re-opened, both answer the same."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from index_service.port import Condition, Example, Filter, Query, Record
from index_service.settings import IndexSettings
from index_service.shard import Shard
from tests.contracts.index_data import content, new_space, record

GROUPS, PARTS, KEYS, SEXES = "abcd", "st", "ijk", ("F", "M", None)


def made_record(
    group: str, part: str, key: str, rows: list[tuple[int, ...]], version: int, order: float, sex: str | None
) -> Record:
    attributes = {"sex": sex} if sex else {}
    return record(key, *rows, group=group, part=part, version=version, order=order, attributes=attributes)


directions = st.tuples(*[st.integers(-3, 3)] * 3).filter(any)
records = st.builds(
    made_record,
    st.sampled_from(GROUPS),
    st.sampled_from(PARTS),
    st.sampled_from(KEYS),
    st.lists(directions, min_size=1, max_size=3),
    st.integers(1, 3),
    st.sampled_from((0.0, 1.0, 2.5)),
    st.sampled_from(SEXES),
)


class ShardAndDictionary(RuleBasedStateMachine):
    """The dictionary holds the stored record of each group and key."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        # A snapshot after every few operations, so that re-opening goes through snapshot and log.
        self.settings = IndexSettings(
            data_dir=Path(self.folder.name), shards=1, snapshot_log_bytes=600, snapshot_log_ratio=0
        )
        self.space = new_space(3)
        self.shard = Shard(self.settings, 0)
        self.shard.create_space(self.space)
        self.stored: dict[tuple[str, str], Record] = {}

    @rule(batch=st.lists(records, max_size=4))
    def upsert(self, batch: list[Record]) -> None:
        self.shard.upsert(self.space.name, batch)
        for new in batch:
            earlier = self.stored.get((new.group, new.key))
            if earlier is None or new.version >= earlier.version:
                self.stored[new.group, new.key] = new

    @rule(group=st.sampled_from(GROUPS), key=st.sampled_from(KEYS))
    def delete_key(self, group: str, key: str) -> None:
        expected = 1 if self.stored.pop((group, key), None) else 0
        assert self.shard.delete(self.space.name, {key: group}) == expected

    @rule(group=st.sampled_from(GROUPS))
    def delete_group(self, group: str) -> None:
        doomed = [identity for identity in self.stored if identity[0] == group]
        assert self.shard.delete(self.space.name, groups=[group]) == len(doomed)
        for identity in doomed:
            del self.stored[identity]

    @rule()
    def open_again(self) -> None:
        self.shard.close()
        self.shard = Shard(self.settings, 0)

    @rule(direction=directions, sex=st.sampled_from(SEXES))
    def search(self, direction: tuple[int, ...], sex: str | None) -> None:
        query = np.array([direction], np.float32)
        conditions = (Condition("sex", "in", (sex,)),) if sex else ()
        answer = self.shard.search(Query(self.space.name, 9, vectors=query, filter=Filter(conditions)))
        nearest: dict[str, float] = {}
        for each in self.stored.values():
            if sex in (None, each.attributes.get("sex")):
                cosines = each.vectors @ query[0] / np.linalg.norm(each.vectors, axis=1) / np.linalg.norm(query)
                nearest[each.group] = min(nearest.get(each.group, 2.0), 1 - float(cosines.max()))
        assert {n.group: n.distance for n in answer.neighbors} == pytest.approx(nearest, abs=1e-5)
        assert [n.distance for n in answer.neighbors] == sorted(n.distance for n in answer.neighbors)
        assert answer.groups_searched == len(nearest)

    @invariant()
    def holds_the_same(self) -> None:
        for group in GROUPS:
            mine = [each for (name, _), each in self.stored.items() if name == group]
            mine.sort(key=lambda each: (each.part, each.order, each.key))
            fetched = self.shard.fetch(self.space.name, Example(group))
            assert content(fetched) == content([_at_unit_length(each) for each in mine])

    @invariant()
    def counts_the_same(self) -> None:
        stats = self.shard.stats()[0]
        assert (stats.groups, stats.records, stats.vectors) == (
            len({group for group, _ in self.stored}),
            len(self.stored),
            sum(len(each.positions) for each in self.stored.values()),
        )

    def teardown(self) -> None:
        self.shard.close()
        self.folder.cleanup()


def _at_unit_length(each: Record) -> Record:
    lengths = np.linalg.norm(each.vectors.astype(np.float64), axis=1, keepdims=True)
    return replace(each, vectors=(each.vectors / lengths).astype(np.float32))


TestShardAndDictionary = ShardAndDictionary.TestCase
TestShardAndDictionary.settings = settings(
    max_examples=100, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
