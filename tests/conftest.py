"""Fixtures that tests of every kind share."""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy

from tests.servers import postgres_server, redis_server

SHARED_DATA = Path(os.environ.get("DICOM_NODE_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images; without it the test is skipped on a laptop and fails in CI."""
    if not SHARED_DATA.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"no test data at {SHARED_DATA}")
        pytest.skip("no folder of real images; set DICOM_NODE_TEST_DATA")
    return SHARED_DATA


@pytest.fixture(scope="session")
def all_series(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one folder for each real series, unpacked."""
    root = tmp_path_factory.mktemp("series")
    for archive in sorted((shared_data / "series").glob("*.tar.xz")):
        with tarfile.open(archive) as packed:
            packed.extractall(root / archive.name.removesuffix(".tar.xz"), filter="data")
    return root


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis server of the tests."""
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server of the tests."""
    with postgres_server(tmp_path_factory.mktemp("pg")) as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server_url: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database of its own for one test."""
    name = f"test_{abs(hash(request.node.nodeid)):x}"
    engine = sqlalchemy.create_engine(
        postgres_server_url.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
        yield postgres_server_url.rsplit("/", 1)[0] + f"/{name}"
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def catalog_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty catalog database, on each of the supported kinds."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/catalog.sqlite"
    url: str = request.getfixturevalue("postgres_url")
    return url
