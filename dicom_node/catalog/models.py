"""The catalog's tables: facts about what the archive keeps, and the outbox of what is still to be embedded.

Text columns hold DICOM values as sent, decoded to Unicode, multiple values joined by a backslash, empty when absent:
matching and answers work on these. Times of ours are seconds since the epoch, UTC. The rule: an instance's row, its
outbox row and the counts of its series and study change in one transaction.
"""

from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Integer
from sqlmodel import Field, SQLModel, UniqueConstraint

# More than 2^31 instances are thinkable; SQLite numbers its rows by itself only in an INTEGER column.
BIG: Any = BigInteger().with_variant(Integer, "sqlite")


class EmbeddingState(StrEnum):
    """Where an instance is on its way into the index. `failed` is a dead letter: only `retry` moves it on."""

    PENDING = "pending"
    EMBEDDED = "embedded"
    REJECTED = "rejected"
    FAILED = "failed"


class Queue(StrEnum):
    """The Celery queues, most urgent first."""

    STAT = "stat"
    ROUTINE = "routine"
    BACKFILL = "backfill"


class Study(SQLModel, table=True):
    """One study, with its patient's attributes as this study states them. `*_folded` columns are for name matching."""

    id: int | None = Field(default=None, primary_key=True, sa_type=BIG)
    study_instance_uid: str = Field(unique=True)
    patient_id: str = Field(default="", index=True)
    issuer_of_patient_id: str = ""
    patient_name: str = ""
    patient_name_folded: str = Field(default="", index=True)
    patient_birth_date: str = ""
    patient_birth_time: str = ""
    patient_sex: str = ""
    ethnic_group: str = ""
    patient_comments: str = ""
    study_date: str = Field(default="", index=True)
    study_time: str = ""
    accession_number: str = Field(default="", index=True)
    study_id: str = ""
    study_description: str = ""
    referring_physician_name: str = ""
    referring_physician_name_folded: str = ""
    name_of_physicians_reading_study: str = ""
    name_of_physicians_reading_study_folded: str = ""
    institution_name: str = ""
    patient_age: str = ""
    patient_size: str = ""
    patient_weight: str = ""
    occupation: str = ""
    additional_patient_history: str = ""
    series_count: int = 0
    instance_count: int = 0
    first_received_at: float = 0.0
    last_received_at: float = Field(default=0.0, index=True)


class Series(SQLModel, table=True):
    """One series of one study; the same Series Instance UID in two studies makes two rows."""

    __table_args__ = (UniqueConstraint("study_pk", "series_instance_uid"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=BIG)
    study_pk: int = Field(foreign_key="study.id", sa_type=BIG, index=True)
    series_instance_uid: str = Field(index=True)
    modality: str = Field(default="", index=True)
    series_number: str = ""
    series_description: str = ""
    series_date: str = ""
    series_time: str = ""
    body_part_examined: str = ""
    laterality: str = ""
    protocol_name: str = ""
    manufacturer: str = ""
    manufacturer_model_name: str = ""
    station_name: str = ""
    institutional_department_name: str = ""
    performing_physician_name: str = ""
    performing_physician_name_folded: str = ""
    operators_name: str = ""
    operators_name_folded: str = ""
    performed_procedure_step_start_date: str = ""
    performed_procedure_step_start_time: str = ""
    frame_of_reference_uid: str = ""
    instance_count: int = 0


class Instance(SQLModel, table=True):
    """One kept instance: where its bytes lie, what they hash to, and whether it can be found by similarity.

    `sha256` (hex) is of the data set as received, without preamble and file meta information.
    """

    id: int | None = Field(default=None, primary_key=True, sa_type=BIG)
    study_pk: int = Field(foreign_key="study.id", sa_type=BIG, index=True)
    series_pk: int = Field(foreign_key="series.id", sa_type=BIG, index=True)
    sop_instance_uid: str = Field(unique=True)
    sop_class_uid: str = ""
    instance_number: str = ""
    content_date: str = ""
    content_time: str = ""
    acquisition_date: str = ""
    acquisition_time: str = ""
    acquisition_number: str = ""
    image_type: str = ""
    rows: str = ""
    columns: str = ""
    bits_allocated: str = ""
    number_of_frames: str = ""
    photometric_interpretation: str = ""
    transfer_syntax_uid: str = ""
    file_key: str = Field(unique=True)
    size_bytes: int = Field(default=0, sa_type=BIG)
    sha256: str = ""
    calling_ae_title: str = ""
    received_at: float = Field(default=0.0, index=True)
    embedding_state: str = Field(default=EmbeddingState.PENDING.value, index=True)
    reason: str = ""
    embedded_at: float | None = Field(default=None, index=True)
    vector_count: int = 0


class OtherVersion(SQLModel, table=True):
    """Other bytes that came later under the UID of a kept instance: kept beside it, never in its place."""

    __tablename__ = "other_version"
    __table_args__ = (UniqueConstraint("instance_pk", "sha256", "transfer_syntax_uid"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=BIG)
    instance_pk: int = Field(foreign_key="instance.id", sa_type=BIG, index=True)
    transfer_syntax_uid: str = ""
    file_key: str = Field(unique=True)
    size_bytes: int = Field(default=0, sa_type=BIG)
    sha256: str = ""
    calling_ae_title: str = ""
    received_at: float = 0.0


class OutboxEntry(SQLModel, table=True):
    """One instance still to be embedded. The row is deleted in the transaction that marks the instance.

    `leased_until` 0 means waiting; a time in the future means announced and presumed in a worker's hands; a time in
    the past means lost on the way: the query that claims waiting rows claims it again.
    """

    __tablename__ = "outbox"

    id: int | None = Field(default=None, primary_key=True, sa_type=BIG)
    instance_pk: int = Field(foreign_key="instance.id", sa_type=BIG, unique=True)
    queue: str = Queue.ROUTINE.value
    leased_until: float = Field(default=0.0, index=True)
    attempts: int = 0
    enqueued_at: float = 0.0
    last_error: str = ""
