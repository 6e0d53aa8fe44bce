"""Use case: embed what was announced: read, decode, preprocess, embed, upsert, mark.

Called by the task with a batch of SOP Instance UIDs; may be called twice, late, or for instances that are settled. The
rule: an instance is marked embedded only after the index has acknowledged its vectors, and everything else about it is
either marked rejected with a reason or given back to the outbox.
"""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from dicom_node import metrics
from dicom_node.archive import Archive
from dicom_node.catalog.outbox import Pending
from dicom_node.catalog.repository import Catalog
from dicom_node.instance import patient_key
from dicom_node.settings import Settings
from index_service.port import Record, VectorIndex
from workers.decoding import Decoder
from workers.embedders.port import Embedder
from workers.errors import Corrupt, Rejected, Unavailable
from workers.pixels.frames import Frames

logger = logging.getLogger(__name__)

FRAMES_PER_PASS = 32


@dataclass(frozen=True, slots=True)
class _Decoded:
    pending: Pending
    frames: Frames | None
    reason: str = ""


class Embedding:
    """Embeds batches. One per worker process; calls come one after the other."""

    def __init__(
        self,
        catalog: Catalog,
        archive: Archive,
        index: VectorIndex,
        decoder: Decoder,
        embedder: Embedder,
        settings: Settings,
    ) -> None:
        """Read from `catalog` and `archive`, write to `index` in the space that `embedder` describes."""
        self._catalog = catalog
        self._archive = archive
        self._index = index
        self._decoder = decoder
        self._embedder = embedder
        self._dispatch = settings.dispatch
        self._space = embedder.describe().vector_space()
        self._decoding = ThreadPoolExecutor(1, thread_name_prefix="decoding")
        self._stopping = threading.Event()
        self.last_progress_at = time.time()

    def stop(self) -> None:
        """Have the batch in hand end early; what it has not begun goes back to the outbox."""
        self._stopping.set()

    def close(self) -> None:
        """End the decoder."""
        self._decoding.shutdown()
        self._decoder.close()

    def embed(self, uids: Sequence[str]) -> None:
        """Embed those of `uids` that are still pending. What cannot be done now goes back to the outbox."""
        batch = self._catalog.pending(uids)
        left = [pending.sop_instance_uid for pending in batch]
        if not left:
            return
        self._catalog.begin(left, self._dispatch.lease_s)
        try:
            # Each time, for it costs little: an index that was replaced by an empty one does not know the space.
            self._index.create_space(self._space)
            for chunk in self._chunks(batch):
                self._finish(chunk)
                done = {item.pending.sop_instance_uid for item in chunk}
                left = [uid for uid in left if uid not in done]
                self._catalog.renew(left, self._dispatch.lease_s)
        except (Unavailable, Corrupt) as error:
            logger.warning("a batch goes back to the outbox: %s", error)
            self._give_back(left, error, counts=isinstance(error, Corrupt))
        except Exception as error:
            logger.exception("a batch goes back to the outbox")
            self._give_back(left, error, counts=True)
        else:
            if left:  # told to end: the next worker takes them
                self._catalog.release(left, 0.0, "the worker was told to end", counts=False)

    def _give_back(self, uids: Sequence[str], error: Exception, counts: bool) -> None:
        self._catalog.release(uids, self._dispatch.retry_delay_s, f"{type(error).__name__}: {error}", counts=counts)

    def _chunks(self, batch: Sequence[Pending]) -> Iterator[list[_Decoded]]:
        """Decode ahead of the embedding, and cut the batch where enough frames have come together for one pass.

        It is also cut where decoding takes long, so that the lease is renewed in time.
        """
        chunk: list[_Decoded] = []
        frames, due = 0, time.monotonic() + self._dispatch.lease_s / 4
        for decoded in self._decoding.map(self._decode, batch):
            if decoded is None:
                continue
            chunk.append(decoded)
            frames += 0 if decoded.frames is None else len(decoded.frames.frame_numbers)
            if frames >= FRAMES_PER_PASS or time.monotonic() > due:
                yield chunk
                chunk, frames, due = [], 0, time.monotonic() + self._dispatch.lease_s / 4
        if chunk:
            yield chunk

    def _decode(self, pending: Pending) -> _Decoded | None:
        """Return an instance's frames or the reason why it has none; None when the worker is about to end."""
        if self._stopping.is_set():
            return None
        with metrics.EMBED_STAGE_SECONDS.labels("decode").time():
            try:
                return _Decoded(pending, self._decoder.frames(self._archive.path(pending.file_key)))
            except Rejected as error:
                return _Decoded(pending, None, f"{error.code}: {error}")

    def _finish(self, chunk: Sequence[_Decoded]) -> None:
        """Embed, upsert and mark one chunk."""
        records = self._records([(item.pending, item.frames) for item in chunk if item.frames is not None])
        if records:
            with metrics.EMBED_STAGE_SECONDS.labels("upsert").time():
                self._index.upsert(self._space.name, records)
        rejected = {item.pending.sop_instance_uid: item.reason for item in chunk if item.frames is None}
        self._catalog.settle({record.key: len(record.positions) for record in records}, rejected)
        self._count(chunk)

    def _records(self, items: Sequence[tuple[Pending, Frames]]) -> list[Record]:
        if not items:
            return []
        metas = [frames.meta for _, frames in items for _ in frames.frame_numbers]
        with metrics.EMBED_STAGE_SECONDS.labels("embed").time():
            vectors = self._embedder.embed(np.concatenate([frames.pixels for _, frames in items]), metas)
        records, start = [], 0
        for pending, frames in items:
            end = start + len(frames.frame_numbers)
            records.append(_record(pending, frames, vectors[start:end]))
            start = end
        return records

    def _count(self, chunk: Sequence[_Decoded]) -> None:
        self.last_progress_at = time.time()
        for item in chunk:
            if item.frames is None:
                metrics.EMBEDDED.labels("rejected").inc()
            else:
                metrics.EMBEDDED.labels("embedded").inc()
                metrics.RECEIVED_TO_SEARCHABLE_SECONDS.observe(self.last_progress_at - item.pending.received_at)


def _record(pending: Pending, frames: Frames, vectors: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> Record:
    attributes = {
        "modality": pending.attributes["modality"],
        "body_part": pending.attributes["body_part_examined"],
        "study_date": pending.attributes["study_date"],
        "sex": pending.attributes["patient_sex"],
        "patient": patient_key(pending.attributes["patient_id"], pending.attributes["issuer_of_patient_id"]),
    }
    return Record(
        key=pending.sop_instance_uid,
        group=pending.study_instance_uid,
        part=pending.series_instance_uid,
        vectors=vectors,
        positions=frames.frame_numbers,
        order=_order(pending.instance_number),
        attributes={name: value for name, value in attributes.items() if value},
    )


def _order(instance_number: str) -> float:
    try:
        return float(int(instance_number))
    except ValueError:
        return 0.0
