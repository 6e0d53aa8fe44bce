"""Logging of every process: one line per event on standard error, with the process's name, without patient data."""

import json
import logging
import sys
import time

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
QUIET = ("pynetdicom", "celery", "kombu", "uvicorn", "alembic", "httpx", "amqp")


class LineFormatter(logging.Formatter):
    """Formats `time level process message key=value …`; the extra fields are those the caller passed."""

    def __init__(self, process: str) -> None:
        """Name the process in every line."""
        super().__init__(f"%(asctime)s %(levelname)-7s {process}: %(message)s", datefmt="%Y-%m-%dT%H:%M:%SZ")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line (a traceback follows on lines of its own)."""
        extras = {key: value for key, value in vars(record).items() if key not in STANDARD}
        tail = "".join(f" {key}={json.dumps(value, default=str)}" for key, value in extras.items())
        head, separator, trace = super().format(record).partition("\n")
        return head + tail + separator + trace


def configure(process: str, level: str) -> None:
    """Log to standard error at `level`; libraries speak only from warning up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(process))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
