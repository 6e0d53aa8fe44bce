"""A node's parts with a known content, without network, broker or model: a catalog, an archive and a served index.

Vectors are chosen by hand, so that ranks and scores can be worked out: the score is the cosine between two studies.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dicom_node.archive import Archive
from dicom_node.catalog.repository import Catalog
from dicom_node.converter import Converter
from dicom_node.ingest import Claimed, Ingest
from dicom_node.instance import patient_key
from dicom_node.retrieve import Retrieval
from dicom_node.settings import Settings, load
from dicom_node.similarity_search import SimilaritySearch
from index_service.port import Record
from index_service.server import IndexServer
from index_service.shard import Shard
from index_service.vector_space import VectorSpace
from tests.dicom import ct, encoded, new_uid

SPACE = VectorSpace("space", 4, "model", "preprocessing", "1")
EXPLICIT = "1.2.840.10008.1.2.1"


@dataclass(frozen=True)
class Filled:
    """The parts; `index` is a single shard in this process, served at `settings.index.address` too."""

    settings: Settings
    catalog: Catalog
    ingest: Ingest
    index: Shard
    similarity: SimilaritySearch
    retrieval: Retrieval

    def store(self, study: str, **elements: Any) -> str:
        """Keep a CT instance of a study, pending; return its SOP Instance UID."""
        own = {"StudyInstanceUID": study, "SeriesInstanceUID": f"{study}.1", "SOPInstanceUID": new_uid()}
        data_set = ct(**(own | elements))
        claimed = Claimed(data_set.SOPClassUID, data_set.SOPInstanceUID, EXPLICIT)
        with self.ingest.open(claimed) as spool:
            spool.write(encoded(data_set))
            return self.ingest.keep(spool, claimed).sop_instance_uid

    def embed(self, uid: str, *vector: float) -> None:
        """Put an instance's vector into the index, and mark it."""
        (pending,) = self.catalog.pending([uid])
        attributes = {
            "modality": "CT",
            "patient": patient_key(pending.attributes["patient_id"], ""),
            "sex": pending.attributes["patient_sex"],
            "study_date": pending.attributes["study_date"],
        }
        vectors = np.array([vector], np.float32)
        study, series = pending.study_instance_uid, pending.series_instance_uid
        self.index.upsert("space", [Record(uid, study, series, vectors, (1,), attributes=attributes)])
        self.catalog.settle({uid: 1}, {})

    def add(self, study: str, vector: Sequence[float], **elements: Any) -> str:
        """Keep and embed an instance of a study."""
        uid = self.store(study, **elements)
        self.embed(uid, *vector)
        return uid


@contextmanager
def filled(data: Path, **overrides: Any) -> Iterator[Filled]:
    """Make the parts of an empty node on a data folder."""
    settings = load(None, data_dir=data, index={"shards": 1}, **overrides)
    data.mkdir(exist_ok=True)
    index = Shard(settings.index, 0)
    index.create_space(SPACE)
    settings.index.run_dir.mkdir(parents=True, exist_ok=True)
    server = IndexServer(index, settings.index.address, threads=4, message_bytes=settings.index.message_bytes)
    server.start()
    with Catalog(settings.catalog_url) as catalog:
        archive = Archive(settings.archive_dir)
        ingest = Ingest(archive, catalog, 1 << 20)
        similarity = SimilaritySearch(catalog, index, settings.similarity)
        converter = Converter(archive, settings.retrieve)
        yield Filled(settings, catalog, ingest, index, similarity, Retrieval(catalog, archive, converter))
        converter.close()
        similarity.close()
        ingest.close()
    server.stop(1.0)
    index.close()
