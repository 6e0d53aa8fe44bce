"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "study",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("study_instance_uid", sa.String(), nullable=False),
        sa.Column("patient_id", sa.String(), nullable=False),
        sa.Column("issuer_of_patient_id", sa.String(), nullable=False),
        sa.Column("patient_name", sa.String(), nullable=False),
        sa.Column("patient_name_folded", sa.String(), nullable=False),
        sa.Column("patient_birth_date", sa.String(), nullable=False),
        sa.Column("patient_birth_time", sa.String(), nullable=False),
        sa.Column("patient_sex", sa.String(), nullable=False),
        sa.Column("ethnic_group", sa.String(), nullable=False),
        sa.Column("patient_comments", sa.String(), nullable=False),
        sa.Column("study_date", sa.String(), nullable=False),
        sa.Column("study_time", sa.String(), nullable=False),
        sa.Column("accession_number", sa.String(), nullable=False),
        sa.Column("study_id", sa.String(), nullable=False),
        sa.Column("study_description", sa.String(), nullable=False),
        sa.Column("referring_physician_name", sa.String(), nullable=False),
        sa.Column("referring_physician_name_folded", sa.String(), nullable=False),
        sa.Column("name_of_physicians_reading_study", sa.String(), nullable=False),
        sa.Column("name_of_physicians_reading_study_folded", sa.String(), nullable=False),
        sa.Column("institution_name", sa.String(), nullable=False),
        sa.Column("patient_age", sa.String(), nullable=False),
        sa.Column("patient_size", sa.String(), nullable=False),
        sa.Column("patient_weight", sa.String(), nullable=False),
        sa.Column("occupation", sa.String(), nullable=False),
        sa.Column("additional_patient_history", sa.String(), nullable=False),
        sa.Column("series_count", sa.Integer(), nullable=False),
        sa.Column("instance_count", sa.Integer(), nullable=False),
        sa.Column("first_received_at", sa.Float(), nullable=False),
        sa.Column("last_received_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("study_instance_uid"),
    )
    op.create_index("ix_study_accession_number", "study", ["accession_number"], unique=False)
    op.create_index("ix_study_last_received_at", "study", ["last_received_at"], unique=False)
    op.create_index("ix_study_patient_id", "study", ["patient_id"], unique=False)
    op.create_index("ix_study_patient_name_folded", "study", ["patient_name_folded"], unique=False)
    op.create_index("ix_study_study_date", "study", ["study_date"], unique=False)
    op.create_table(
        "series",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("study_pk", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("series_instance_uid", sa.String(), nullable=False),
        sa.Column("modality", sa.String(), nullable=False),
        sa.Column("series_number", sa.String(), nullable=False),
        sa.Column("series_description", sa.String(), nullable=False),
        sa.Column("series_date", sa.String(), nullable=False),
        sa.Column("series_time", sa.String(), nullable=False),
        sa.Column("body_part_examined", sa.String(), nullable=False),
        sa.Column("laterality", sa.String(), nullable=False),
        sa.Column("protocol_name", sa.String(), nullable=False),
        sa.Column("manufacturer", sa.String(), nullable=False),
        sa.Column("manufacturer_model_name", sa.String(), nullable=False),
        sa.Column("station_name", sa.String(), nullable=False),
        sa.Column("institutional_department_name", sa.String(), nullable=False),
        sa.Column("performing_physician_name", sa.String(), nullable=False),
        sa.Column("performing_physician_name_folded", sa.String(), nullable=False),
        sa.Column("operators_name", sa.String(), nullable=False),
        sa.Column("operators_name_folded", sa.String(), nullable=False),
        sa.Column("performed_procedure_step_start_date", sa.String(), nullable=False),
        sa.Column("performed_procedure_step_start_time", sa.String(), nullable=False),
        sa.Column("frame_of_reference_uid", sa.String(), nullable=False),
        sa.Column("instance_count", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_pk"],
            ["study.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("study_pk", "series_instance_uid"),
    )
    op.create_index("ix_series_modality", "series", ["modality"], unique=False)
    op.create_index("ix_series_series_instance_uid", "series", ["series_instance_uid"], unique=False)
    op.create_index("ix_series_study_pk", "series", ["study_pk"], unique=False)
    op.create_table(
        "instance",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("study_pk", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("series_pk", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("sop_instance_uid", sa.String(), nullable=False),
        sa.Column("sop_class_uid", sa.String(), nullable=False),
        sa.Column("instance_number", sa.String(), nullable=False),
        sa.Column("content_date", sa.String(), nullable=False),
        sa.Column("content_time", sa.String(), nullable=False),
        sa.Column("acquisition_date", sa.String(), nullable=False),
        sa.Column("acquisition_time", sa.String(), nullable=False),
        sa.Column("acquisition_number", sa.String(), nullable=False),
        sa.Column("image_type", sa.String(), nullable=False),
        sa.Column("rows", sa.String(), nullable=False),
        sa.Column("columns", sa.String(), nullable=False),
        sa.Column("bits_allocated", sa.String(), nullable=False),
        sa.Column("number_of_frames", sa.String(), nullable=False),
        sa.Column("photometric_interpretation", sa.String(), nullable=False),
        sa.Column("transfer_syntax_uid", sa.String(), nullable=False),
        sa.Column("file_key", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("calling_ae_title", sa.String(), nullable=False),
        sa.Column("received_at", sa.Float(), nullable=False),
        sa.Column("embedding_state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("embedded_at", sa.Float(), nullable=True),
        sa.Column("vector_count", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["series_pk"],
            ["series.id"],
        ),
        sa.ForeignKeyConstraint(
            ["study_pk"],
            ["study.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("file_key"),
        sa.UniqueConstraint("sop_instance_uid"),
    )
    op.create_index("ix_instance_embedded_at", "instance", ["embedded_at"], unique=False)
    op.create_index("ix_instance_embedding_state", "instance", ["embedding_state"], unique=False)
    op.create_index("ix_instance_received_at", "instance", ["received_at"], unique=False)
    op.create_index("ix_instance_series_pk", "instance", ["series_pk"], unique=False)
    op.create_index("ix_instance_study_pk", "instance", ["study_pk"], unique=False)
    op.create_table(
        "other_version",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("instance_pk", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("transfer_syntax_uid", sa.String(), nullable=False),
        sa.Column("file_key", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("calling_ae_title", sa.String(), nullable=False),
        sa.Column("received_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_pk"],
            ["instance.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("file_key"),
        sa.UniqueConstraint("instance_pk", "sha256", "transfer_syntax_uid"),
    )
    op.create_index("ix_other_version_instance_pk", "other_version", ["instance_pk"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("instance_pk", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("queue", sa.String(), nullable=False),
        sa.Column("leased_until", sa.Float(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("enqueued_at", sa.Float(), nullable=False),
        sa.Column("last_error", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_pk"],
            ["instance.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("instance_pk"),
    )
    op.create_index("ix_outbox_leased_until", "outbox", ["leased_until"], unique=False)


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_outbox_leased_until", table_name="outbox")
    op.drop_table("outbox")
    op.drop_index("ix_other_version_instance_pk", table_name="other_version")
    op.drop_table("other_version")
    op.drop_index("ix_instance_study_pk", table_name="instance")
    op.drop_index("ix_instance_series_pk", table_name="instance")
    op.drop_index("ix_instance_received_at", table_name="instance")
    op.drop_index("ix_instance_embedding_state", table_name="instance")
    op.drop_index("ix_instance_embedded_at", table_name="instance")
    op.drop_table("instance")
    op.drop_index("ix_series_study_pk", table_name="series")
    op.drop_index("ix_series_series_instance_uid", table_name="series")
    op.drop_index("ix_series_modality", table_name="series")
    op.drop_table("series")
    op.drop_index("ix_study_study_date", table_name="study")
    op.drop_index("ix_study_patient_name_folded", table_name="study")
    op.drop_index("ix_study_patient_id", table_name="study")
    op.drop_index("ix_study_last_received_at", table_name="study")
    op.drop_index("ix_study_accession_number", table_name="study")
    op.drop_table("study")
