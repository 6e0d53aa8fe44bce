"""The use case of the workers, with the real decoder, embedder and index: embedded, rejected or given back."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from dicom_node.archive import Archive
from dicom_node.catalog.models import EmbeddingState, Queue
from dicom_node.catalog.repository import Catalog
from dicom_node.errors import Unavailable
from dicom_node.ingest import Claimed, Ingest
from dicom_node.settings import Settings, load
from index_service.port import Example
from index_service.shard import Shard
from tests.dicom import ct, encoded
from workers.decoding import Decoder
from workers.embedders.registry import make_embedder
from workers.embedding import Embedding

EXPLICIT = "1.2.840.10008.1.2.1"


@dataclass
class Bench:
    """The parts around the use case."""

    settings: Settings
    catalog: Catalog
    ingest: Ingest
    index: Shard
    embedding: Embedding

    def store(self, **elements: object) -> str:
        """Keep an instance, claim it as the dispatcher would, and return its UID."""
        data_set = ct(**elements)
        claimed = Claimed(str(data_set.SOPClassUID), str(data_set.SOPInstanceUID), EXPLICIT)
        with self.ingest.open(claimed) as spool:
            spool.write(encoded(data_set))
            self.ingest.keep(spool, claimed)
        self.catalog.claim(Queue.ROUTINE, 100, lease_s=60)
        return str(data_set.SOPInstanceUID)

    def state(self, uid: str) -> tuple[EmbeddingState, str]:
        """Return how far an instance is, with the reason."""
        (record,) = self.catalog.instances("sop_instance_uid", uid)
        return record.embedding_state, record.reason


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    settings = load(None, data_dir=tmp_path)
    catalog = Catalog(settings.catalog_url)
    archive = Archive(settings.archive_dir)
    ingest = Ingest(archive, catalog, 1 << 20)
    index = Shard(settings.index, 0)
    embedding = Embedding(catalog, archive, index, Decoder(), make_embedder("descriptor"), settings)
    yield Bench(settings, catalog, ingest, index, embedding)
    embedding.close()
    index.close()
    ingest.close()
    catalog.close()


def test_an_announced_instance_ends_in_the_index_and_is_marked(bench: Bench) -> None:
    uid = bench.store(StudyInstanceUID="1.4", SeriesInstanceUID="1.5", InstanceNumber="7", PatientSex="F")
    bench.embedding.embed([uid])
    assert bench.state(uid) == (EmbeddingState.EMBEDDED, "")
    (space,) = bench.index.spaces()
    (record,) = bench.index.fetch(space.name, Example("1.4"))
    assert (record.key, record.group, record.part, record.positions, record.order) == (uid, "1.4", "1.5", (1,), 7.0)
    assert {name: record.attributes[name] for name in ("modality", "study_date", "sex")} == {
        "modality": "CT",
        "study_date": "20240131",
        "sex": "F",
    }
    assert "P1" not in record.attributes.values()


def test_the_frames_of_an_instance_are_vectors_under_one_key(bench: Bench) -> None:
    pixels = np.stack([np.arange(1024, dtype="<i2").reshape(32, 32) + n for n in range(4)])
    uid = bench.store(StudyInstanceUID="1.4", NumberOfFrames="4", PixelData=pixels.tobytes())
    bench.embedding.embed([uid])
    (space,) = bench.index.spaces()
    (record,) = bench.index.fetch(space.name, Example("1.4"))
    assert record.positions == (1, 2, 3, 4)
    assert record.vectors.shape == (4, space.dimension)


def test_what_has_nothing_to_embed_is_rejected_with_a_reason_and_the_rest_of_its_batch_is_not(bench: Bench) -> None:
    report = bench.store(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", Modality="SR")
    truncated = bench.store(PixelData=b"\0\0")
    image = bench.store()
    bench.embedding.embed([report, truncated, image])
    assert bench.state(report)[0] is EmbeddingState.REJECTED
    assert bench.state(report)[1].startswith("nothing_to_embed: ")
    assert bench.state(truncated)[1].startswith("truncated: ")
    assert bench.state(image) == (EmbeddingState.EMBEDDED, "")


def test_a_batch_may_come_twice(bench: Bench) -> None:
    uid = bench.store()
    bench.embedding.embed([uid])
    bench.embedding.embed([uid])
    assert bench.index.stats()[0].vectors == 1
    assert bench.catalog.counts().embedded == 1


def test_while_the_index_is_away_a_batch_goes_back_and_is_embedded_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise Unavailable("shard 0 is away")

    uid = bench.store()
    monkeypatch.setattr(bench.index, "upsert", away)
    for _ in range(2 * bench.settings.dispatch.maximum_attempts):
        bench.embedding.embed([uid])
    assert bench.state(uid)[0] is EmbeddingState.PENDING
    bench.catalog.release([uid], -1.0, "time has passed", counts=True)
    assert bench.catalog.bury(bench.settings.dispatch.maximum_attempts) == 0
    monkeypatch.undo()
    bench.embedding.embed([uid])
    assert bench.state(uid)[0] is EmbeddingState.EMBEDDED


def test_a_worker_that_is_told_to_end_gives_back_what_it_has_not_begun(bench: Bench) -> None:
    uid = bench.store()
    bench.embedding.stop()
    bench.embedding.embed([uid])
    assert bench.state(uid)[0] is EmbeddingState.PENDING
    assert [a.attempts for a in bench.catalog.claim(Queue.ROUTINE, 10, lease_s=60)] == [0]
