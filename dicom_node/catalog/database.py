"""The engines: how the catalog's database is opened, on SQLite and on PostgreSQL, and its errors translated.

SQLite runs in WAL mode with full sync, writers begin IMMEDIATE so that two processes queue instead of deadlocking, and
LIKE is case-sensitive as PS3.4 C.2.2.2 asks. The rule: SQLAlchemy's errors do not leave the catalog.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError, DBAPIError, InterfaceError, OperationalError

from dicom_node.errors import Corrupt, Unavailable

BUSY_TIMEOUT_S = 30
MIGRATIONS = Path(__file__).with_name("migrations")


def open_engines(url: str) -> tuple[Engine, Engine]:
    """Return (writing engine, reading engine) for a SQLAlchemy URL, migrated to the newest schema.

    Raises Unavailable when the database cannot be reached.
    """
    if make_url(url).get_backend_name() != "sqlite":
        engine = create_engine(_with_psycopg(url), pool_pre_ping=True, pool_size=16, max_overflow=16)
        _migrate(engine)
        return engine, engine
    writing = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})
    reading = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S}, pool_size=16, max_overflow=64)
    for engine in (writing, reading):
        event.listen(engine, "connect", _prepare_sqlite)
    event.listen(writing, "begin", _begin_immediate)
    event.listen(reading, "begin", _begin_deferred)
    _migrate(writing)
    return writing, reading


@contextmanager
def translated(attempt: str) -> Iterator[None]:
    """Turn the database's errors into the node's; `attempt` says what was tried."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise Unavailable(f"the catalog could not {attempt}") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise Unavailable(f"the catalog could not {attempt}") from error
        if type(error) is DatabaseError:  # SQLite: "malformed", "not a database"
            raise Corrupt(f"the catalog could not {attempt}: the database is damaged") from error
        raise


def _with_psycopg(url: str) -> str:
    parsed = make_url(url)
    return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def _migrate(engine: Engine) -> None:
    with translated("bring its schema up to date"), engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # Several processes start at once: the first migrates, the others wait and find nothing to do.
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(5349)")
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _prepare_sqlite(connection: Any, _: Any) -> None:
    # The driver's own transaction handling is off: BEGIN is sent by the hooks below.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "case_sensitive_like=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_deferred(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
