"""Where groups live, and what the router does with shards that fail, are late, or disagree."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from index_service.errors import Corrupt, Rejected, Unavailable
from index_service.port import Answer, Query
from index_service.router import Router, shard_of
from index_service.settings import IndexSettings
from index_service.shard import Shard
from tests.contracts.index_data import X, groups, new_space, record, vectors

SPACE = new_space()


class BrokenShard(Shard):
    """A shard whose answers to a search can be replaced by an error, or held back."""

    def __init__(self, settings: IndexSettings, number: int) -> None:
        super().__init__(settings, number)
        self.error: Exception | None = None
        self.released = threading.Event()
        self.released.set()

    def search(self, query: Query) -> Answer:
        """Fail, wait, or answer."""
        if self.error is not None:
            raise self.error
        self.released.wait(10)
        return super().search(query)


@pytest.fixture
def shards(tmp_path: Path) -> tuple[Shard, BrokenShard]:
    settings = IndexSettings(data_dir=tmp_path)
    return Shard(settings, 0), BrokenShard(settings, 1)


@pytest.fixture
def router(shards: tuple[Shard, BrokenShard]) -> Iterator[Router]:
    router = Router(shards, IndexSettings(search_timeout_s=0.2))
    router.create_space(SPACE)
    router.upsert(SPACE.name, [record(f"g{i}/s/i", X) for i in range(9)])
    yield router
    shards[1].released.set()
    router.close()


ON_FIRST = ["g0", "g2", "g3", "g5", "g6"]
ALL = Query(SPACE.name, 20, vectors=vectors(X))


@pytest.mark.parametrize(
    ("group", "shards", "expected"),
    [("g0", 2, 0), ("g1", 2, 1), ("g2", 2, 0), ("1.2.840.113619.2.5", 7, 3), ("", 5, 1), ("ä", 256, 57)],
)
def test_a_group_stays_on_its_shard_for_ever(group: str, shards: int, expected: int) -> None:
    assert shard_of(group, shards) == expected


def test_all_shards_together_answer_in_the_total_order(router: Router) -> None:
    answer = router.search(ALL)
    assert [name for name, _ in groups(answer)] == [f"g{i}" for i in range(9)]
    assert not answer.partial


@pytest.mark.parametrize("error", [Unavailable("gone"), Corrupt("damaged")])
def test_a_failing_shard_makes_the_answer_partial(
    router: Router, shards: tuple[Shard, BrokenShard], error: Exception
) -> None:
    shards[1].error = error
    answer = router.search(ALL)
    assert [name for name, _ in groups(answer)] == ON_FIRST
    assert (answer.shards_answered, answer.shards_total, answer.partial) == (1, 2, True)


def test_a_late_shard_makes_the_answer_partial(router: Router, shards: tuple[Shard, BrokenShard]) -> None:
    shards[1].released.clear()
    answer = router.search(ALL)
    assert ([name for name, _ in groups(answer)], answer.partial) == (ON_FIRST, True)


def test_what_one_shard_rejects_is_rejected(router: Router, shards: tuple[Shard, BrokenShard]) -> None:
    shards[1].error = Rejected("unknown")
    with pytest.raises(Rejected):
        router.search(ALL)
