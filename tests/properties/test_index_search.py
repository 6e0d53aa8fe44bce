"""The short way to an answer, by candidates, against the long one, which compares with everything."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from index_service.port import Condition, Example, Filter, Neighbor, Query, Record
from index_service.settings import IndexSettings
from index_service.shard import Shard
from tests.contracts.index_data import new_space

GROUPS, SLICES, DIMENSION = 400, 12, 32
SPACE = new_space(DIMENSION)


def clustered_records() -> list[Record]:
    """Return two parts a group: slices that drift along a path of the group's, near one of 20 kinds."""
    rng = np.random.default_rng(11)
    kinds = rng.standard_normal((20, DIMENSION))
    records = []
    for group in range(GROUPS):
        for part, modality in enumerate(("CT", "MR")):
            start = kinds[(group + part) % 20] + 0.4 * rng.standard_normal(DIMENSION)
            drift = rng.standard_normal(DIMENSION) / SLICES
            for i in range(SLICES):
                vector = (start + i * drift + 0.1 * rng.standard_normal(DIMENSION)).astype(np.float32)
                name = f"g{group:03d}/{modality}"
                attributes = {"modality": modality, "year": str(2000 + group % 10)}
                records.append(
                    Record(f"{name}/{i:02d}", name[:4], name, vector[None], (1,), order=i, attributes=attributes)
                )
    return records


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shard]:
    shard = Shard(IndexSettings(data_dir=tmp_path_factory.mktemp("index"), shards=1), 0)
    shard.create_space(SPACE)
    shard.upsert(SPACE.name, clustered_records())
    yield shard
    shard.close()


@pytest.mark.parametrize("level", ["group", "part", "key"])
@pytest.mark.parametrize("part", [None, "CT"])
@pytest.mark.parametrize("years", [(), ("2001", "2004", "2007")])
def test_candidates_lose_hardly_any_of_the_ten_nearest(
    shard: Shard, level: str, part: str | None, years: tuple[str, ...]
) -> None:
    filter_ = Filter((Condition("year", "in", years),) if years else ())
    hits = 0
    for group in range(0, GROUPS, 50):
        name = f"g{group:03d}"
        query = Query(
            SPACE.name,
            10,
            example=Example(name, part and f"{name}/{part}", f"{name}/CT/06" if level == "key" else None),
            level=level,
            filter=filter_,
            comparable=("modality",),
        )
        short, long = (_answer(shard, query, exact) for exact in (False, True))
        assert len(short) == len(long) == 10
        hits += len(short & long)
    assert hits >= 0.97 * 10 * GROUPS / 50


def _answer(shard: Shard, query: Query, exact: bool) -> set[Neighbor]:
    return set(shard.search(replace(query, exact=exact)).neighbors)
