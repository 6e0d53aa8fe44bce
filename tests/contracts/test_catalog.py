"""The catalog on every supported database: intake, outbox, counts."""

import threading
import time
from collections.abc import Iterator

import pytest
from pydicom.uid import CTImageStorage

from dicom_node.archive import StoredFile
from dicom_node.catalog.intake import Outcome, Received
from dicom_node.catalog.models import EmbeddingState, Queue
from dicom_node.catalog.repository import Catalog
from dicom_node.catalog.retrieval import KeptInstance, select_instances, selected_instances
from dicom_node.instance import header_of
from tests.dicom import ct

EXPLICIT = "1.2.840.10008.1.2.1"


@pytest.fixture
def catalog(catalog_url: str) -> Iterator[Catalog]:
    with Catalog(catalog_url) as catalog:
        yield catalog


def received(key: str = "1", digest: str = "aa", queue: Queue = Queue.ROUTINE, **elements: object) -> Received:
    header = header_of(ct(**elements), EXPLICIT)
    return Received(header, StoredFile(f"key-{key}", 100, digest), "SCANNER", time.time(), queue)


def test_the_first_instance_makes_a_study_a_series_an_instance_and_an_outbox_row(catalog: Catalog) -> None:
    assert catalog.record([received(SOPInstanceUID="1.2.1")]) == [Outcome.NEW]
    counts = catalog.counts()
    assert (counts.studies, counts.series, counts.stored, counts.pending) == (1, 1, 1, 1)
    assert [a.sop_instance_uid for a in catalog.claim(Queue.ROUTINE, 10, 60)] == ["1.2.1"]


def test_equal_bytes_again_add_nothing(catalog: Catalog) -> None:
    outcomes = catalog.record([received("1", SOPInstanceUID="1.2.1"), received("2", SOPInstanceUID="1.2.1")])
    assert outcomes == [Outcome.NEW, Outcome.DUPLICATE]
    assert catalog.record([received("3", SOPInstanceUID="1.2.1")]) == [Outcome.DUPLICATE]
    assert (catalog.counts().stored, catalog.counts().other_versions) == (1, 0)


def test_other_bytes_under_the_same_uid_are_kept_beside_the_first(catalog: Catalog) -> None:
    catalog.record([received("1", "aa", SOPInstanceUID="1.2.1")])
    assert catalog.record([received("2", "bb", SOPInstanceUID="1.2.1")]) == [Outcome.OTHER_VERSION]
    assert catalog.record([received("3", "bb", SOPInstanceUID="1.2.1")]) == [Outcome.DUPLICATE]
    assert (catalog.counts().stored, catalog.counts().other_versions) == (1, 1)
    assert catalog.instances("sop_instance_uid", "1.2.1")[0].file_key == "key-1"
    assert catalog.known_files(["key-1", "key-2", "key-3"]) == {"key-1", "key-2"}


def test_counts_of_series_and_study_follow_the_instances(catalog: Catalog) -> None:
    batch = [received(str(i), SOPInstanceUID=f"1.2.{i}", SeriesInstanceUID=f"1.3.{i % 2}") for i in range(5)]
    catalog.record(batch)
    catalog.record(batch)
    study = catalog.studies([batch[0].header.study["study_instance_uid"]])[batch[0].header.study["study_instance_uid"]]
    assert (study.series_count, study.instance_count, study.modalities) == (2, 5, ("CT",))


def test_a_later_instance_fills_gaps_of_the_study_and_changes_nothing_else(catalog: Catalog) -> None:
    catalog.record([received("1", StudyDescription="", PatientName="First^Name", StudyInstanceUID="1.4")])
    catalog.record([received("2", StudyDescription="CHEST", PatientName="Second^Name", StudyInstanceUID="1.4")])
    columns = catalog.studies(["1.4"])["1.4"].columns
    assert columns["study_description"] == "CHEST"
    assert columns["patient_name"] == "First^Name"
    assert columns["patient_name_folded"] == "first^name"


def test_first_objects_of_one_study_from_many_threads_make_one_study(catalog: Catalog) -> None:
    barrier = threading.Barrier(8)
    outcomes: list[Outcome] = []

    def store(number: int) -> None:
        barrier.wait()
        outcomes.extend(catalog.record([received(str(number), SOPInstanceUID=f"1.2.{number}")]))

    threads = [threading.Thread(target=store, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [Outcome.NEW] * 8
    counts = catalog.counts()
    assert (counts.studies, counts.series, counts.stored) == (1, 1, 8)


def test_one_instance_from_many_threads_is_new_once(catalog: Catalog) -> None:
    barrier = threading.Barrier(8)
    outcomes: list[Outcome] = []

    def store(number: int) -> None:
        barrier.wait()
        outcomes.extend(catalog.record([received(str(number), SOPInstanceUID="1.2.1")]))

    threads = [threading.Thread(target=store, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [Outcome.DUPLICATE] * 7 + [Outcome.NEW]
    assert catalog.counts().stored == 1


def test_a_claimed_row_is_not_claimed_again_before_its_lease_ends(catalog: Catalog) -> None:
    catalog.record([received(SOPInstanceUID="1.2.1")])
    assert len(catalog.claim(Queue.ROUTINE, 10, lease_s=60)) == 1
    assert catalog.claim(Queue.ROUTINE, 10, lease_s=60) == []


def test_a_row_whose_lease_has_run_out_is_claimed_again_and_counts_what_workers_began(catalog: Catalog) -> None:
    catalog.record([received(SOPInstanceUID="1.2.1")])
    assert [a.attempts for a in catalog.claim(Queue.ROUTINE, 10, lease_s=-1)] == [0]
    catalog.begin(["1.2.1"], lease_s=-1)
    again = catalog.claim(Queue.ROUTINE, 10, lease_s=-1)
    assert [(a.sop_instance_uid, a.attempts) for a in again] == [("1.2.1", 1)]


def test_a_try_that_ended_for_want_of_something_else_does_not_count(catalog: Catalog) -> None:
    catalog.record([received(SOPInstanceUID="1.2.1")])
    for counts, attempts in ((False, 0), (True, 1), (False, 1)):
        catalog.claim(Queue.ROUTINE, 10, lease_s=60)
        catalog.begin(["1.2.1"], lease_s=60)
        catalog.release(["1.2.1"], -1.0, "index away", counts=counts)
        assert [a.attempts for a in catalog.claim(Queue.ROUTINE, 10, lease_s=-1)] == [attempts]


def test_a_renewed_lease_holds(catalog: Catalog) -> None:
    catalog.record([received(SOPInstanceUID="1.2.1")])
    catalog.claim(Queue.ROUTINE, 10, lease_s=-1)
    catalog.renew(["1.2.1"], lease_s=60)
    assert catalog.claim(Queue.ROUTINE, 10, lease_s=60) == []


def test_an_unclaimed_row_is_claimable_at_once(catalog: Catalog) -> None:
    catalog.record([received(SOPInstanceUID="1.2.1")])
    catalog.claim(Queue.ROUTINE, 10, lease_s=60)
    catalog.unclaim(["1.2.1"])
    assert [a.attempts for a in catalog.claim(Queue.ROUTINE, 10, lease_s=60)] == [0]


def test_settled_instances_leave_the_outbox_for_good(catalog: Catalog) -> None:
    catalog.record([received("1", SOPInstanceUID="1.2.1"), received("2", SOPInstanceUID="1.2.2")])
    catalog.claim(Queue.ROUTINE, 10, lease_s=-1)
    catalog.settle({"1.2.1": 3}, {"1.2.2": "nothing to embed"})
    catalog.settle({"1.2.1": 3}, {"1.2.2": "nothing to embed"})
    catalog.release(["1.2.1", "1.2.2"], 0.0, "late", counts=True)
    assert catalog.claim(Queue.ROUTINE, 10, lease_s=60) == []
    assert catalog.pending(["1.2.1", "1.2.2"]) == []
    counts = catalog.counts()
    assert (counts.embedded, counts.rejected, counts.pending, counts.stored) == (1, 1, 0, 2)
    assert [s.reason for s in catalog.settled(EmbeddingState.REJECTED)] == ["nothing to embed"]


def test_what_was_tried_too_often_becomes_a_dead_letter_and_retry_revives_it(catalog: Catalog) -> None:
    catalog.record([received(SOPInstanceUID="1.2.1")])
    for _ in range(3):
        catalog.claim(Queue.ROUTINE, 10, lease_s=-1)
        catalog.begin(["1.2.1"], lease_s=-1)
    catalog.release(["1.2.1"], -1.0, "index away", counts=True)
    assert catalog.bury(4) == 0
    assert catalog.bury(3) == 1
    assert [s.reason for s in catalog.settled(EmbeddingState.FAILED)] == ["gave up after 3 tries: index away"]
    assert catalog.retry([EmbeddingState.FAILED]) == 1
    assert [a.attempts for a in catalog.claim(Queue.BACKFILL, 10, lease_s=60)] == [0]
    assert catalog.counts().failed == 0


def test_hurry_moves_a_study_to_the_front_even_when_it_was_announced(catalog: Catalog) -> None:
    catalog.record([received("1", SOPInstanceUID="1.2.1", StudyInstanceUID="1.4.1")])
    catalog.record([received("2", SOPInstanceUID="1.2.2", StudyInstanceUID="1.4.2")])
    catalog.claim(Queue.ROUTINE, 10, lease_s=60)
    assert catalog.hurry("1.4.2") == 1
    assert catalog.waiting() == {Queue.STAT: 1}
    assert [a.sop_instance_uid for a in catalog.claim(Queue.STAT, 10, lease_s=60)] == ["1.2.2"]


def test_pending_tells_what_a_worker_needs(catalog: Catalog) -> None:
    catalog.record([received("7", SOPInstanceUID="1.2.1", StudyInstanceUID="1.4", SeriesInstanceUID="1.5")])
    (pending,) = catalog.pending(["1.2.1", "1.2.999"])
    assert (pending.study_instance_uid, pending.series_instance_uid, pending.file_key) == ("1.4", "1.5", "key-7")
    assert pending.attributes == {
        "modality": "CT",
        "body_part_examined": "",
        "study_date": "20240131",
        "patient_sex": "",
        "patient_id": "P1",
        "issuer_of_patient_id": "",
    }


def test_studies_are_found_by_accession_newest_first(catalog: Catalog) -> None:
    catalog.record([received("1", StudyInstanceUID="1.4.1", StudyDate="20200101", AccessionNumber="ACC")])
    catalog.record([received("2", StudyInstanceUID="1.4.2", StudyDate="20240101", AccessionNumber="ACC")])
    assert catalog.studies_with_accession("ACC") == ["1.4.2", "1.4.1"]
    assert catalog.studies_with_accession("acc") == []


def test_the_migrated_schema_is_the_models_schema(catalog_url: str) -> None:
    import sqlalchemy
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from sqlmodel import SQLModel

    Catalog(catalog_url).close()
    engine = sqlalchemy.create_engine(catalog_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), SQLModel.metadata) == []
    engine.dispose()


def test_what_a_retrieve_means_is_counted_and_then_read_page_by_page(catalog: Catalog) -> None:
    mr = "1.2.840.10008.5.1.4.1.1.4"
    batch = [received(str(i), SOPInstanceUID=f"1.2.{i}", StudyInstanceUID="1.4") for i in range(450)]
    catalog.record(batch)
    catalog.record([received("mr", SOPInstanceUID="1.5", StudyInstanceUID="1.4", SOPClassUID=mr)])
    catalog.record([received("other", SOPInstanceUID="1.6", StudyInstanceUID="1.7")])
    many = tuple(f"1.9.{number}" for number in range(9_999))
    selection = select_instances(catalog, {"PatientID": ("P1",), "StudyInstanceUID": ("1.4", *many)})
    assert (selection.count, selection.kinds) == (451, ((CTImageStorage, EXPLICIT), (mr, EXPLICIT)))
    catalog.record([received("late", SOPInstanceUID="1.8", StudyInstanceUID="1.4")])
    instances = list(selected_instances(catalog, selection))
    uids = [each.sop_instance_uid for each in instances]
    assert (len(uids), set(uids)) == (451, {*(f"1.2.{i}" for i in range(450)), "1.5"})
    assert instances[-1] == KeptInstance(mr, "1.5", EXPLICIT, "key-mr", "aa")


def test_a_retrieve_of_what_is_not_held_means_nothing(catalog: Catalog) -> None:
    catalog.record([received("1", SOPInstanceUID="1.6", StudyInstanceUID="1.7")])
    selection = select_instances(catalog, {"PatientID": ("p1",), "StudyInstanceUID": ("1.7",)})
    assert (selection.count, selection.kinds) == (0, ())
    assert list(selected_instances(catalog, selection)) == []
