"""The Celery tasks: thin, one call each. The rule: a task's arguments are UIDs, never patient data."""

from collections.abc import Sequence

from celery import Celery

from dicom_node.dispatch import EMBED_TASK
from workers.embedding import Embedding


def register(app: Celery, embedding: Embedding) -> None:
    """Make the tasks known to `app`."""

    def embed(uids: Sequence[str]) -> None:
        embedding.embed(uids)

    app.task(name=EMBED_TASK)(embed)
