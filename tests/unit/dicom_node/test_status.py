"""How a node stands, also when its index or catalog does not answer; and what a person's words name."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node import status
from dicom_node.errors import ExampleUnknown, Rejected, Unavailable
from dicom_node.similar import named_studies
from index_service.client import IndexClient
from index_service.port import ShardStats
from tests.filled import Filled, filled


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Filled]:
    with filled(tmp_path / "data") as node:
        yield node


def test_an_empty_node(node: Filled) -> None:
    now = status.gather(node.catalog, node.index).as_json()
    assert now["instances"] == dict.fromkeys(
        ("stored", "pending", "embedded", "rejected", "failed", "other_versions"), 0
    )
    assert now["oldest_pending_s"] is None
    assert now["queues"] == {"stat": 0, "routine": 0, "backfill": 0}


def test_an_index_that_is_away_is_part_of_the_answer(node: Filled, tmp_path: Path) -> None:
    node.store("1.1")
    absent = IndexClient(f"unix:{tmp_path}/absent.sock")
    now = status.gather(node.catalog, absent).as_json()
    absent.close()
    assert now["index"] == {"available": False, "shards": []}
    assert now["instances"]["pending"] == 1


def test_the_index_is_available_only_with_every_shard(node: Filled) -> None:
    now = status.gather(node.catalog, node.index)
    assert now.index_available
    one_away = status.Status(now.counts, now.waiting, (ShardStats(0, True), ShardStats(1, False)))
    assert not one_away.index_available


def test_a_catalog_that_is_away_is_a_failure(tmp_path: Path, node: Filled) -> None:
    with filled(tmp_path / "other") as other:
        other.catalog.close()
        (tmp_path / "other" / "catalog.sqlite").unlink()
        (tmp_path / "other").joinpath("catalog.sqlite").mkdir()
        with pytest.raises(Unavailable, match="the catalog could not count"):
            status.gather(other.catalog, node.index)


def test_a_uid_an_accession_number_or_both(node: Filled) -> None:
    node.store("1.1", AccessionNumber="12345")
    node.store("1.2", AccessionNumber="1.1")
    node.store("1.3", AccessionNumber="TWICE", StudyDate="20230101")
    node.store("1.4", AccessionNumber="TWICE", StudyDate="20240101")
    assert named_studies(node.catalog, "1.1") == ["1.1"]
    assert named_studies(node.catalog, "12345") == ["1.1"]
    assert named_studies(node.catalog, " *12345* ") == ["1.1"]
    assert named_studies(node.catalog, "TWICE") == ["1.4", "1.3"]


def test_what_names_no_study(node: Filled) -> None:
    with pytest.raises(ExampleUnknown):
        named_studies(node.catalog, "1.9")
    for text in ("", " ", "**", "x" * 65, "a\nb"):
        with pytest.raises(Rejected, match="neither a Study Instance UID nor an accession number"):
            named_studies(node.catalog, text)
