"""Alembic's entry: runs the migrations on the connection that `database.open_engines` hands over."""

from alembic import context
from sqlmodel import SQLModel

from dicom_node.catalog import models  # noqa: F401 - fills SQLModel.metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=SQLModel.metadata)
context.run_migrations()
