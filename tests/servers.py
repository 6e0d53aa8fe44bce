"""Real servers that tests start for themselves: Redis, PostgreSQL. Each is a context manager that gives a URL."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

START_S = 30.0


def require(program: str, *folders: str) -> str:
    """Return the path of a program; without it the test is skipped on a laptop and fails in CI."""
    path = os.pathsep.join([*folders, "/usr/local/bin", "/usr/bin", "/usr/sbin", "/bin"])
    found = shutil.which(program, path=path)
    if found is None:
        missing = f"{program} is not installed"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def free_port() -> int:
    """Return a TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], object], what: str, timeout_s: float = START_S, interval_s: float = 0.05) -> None:
    """Return as soon as `condition` is true; fail with `what` after the deadline."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout_s} s: {what}")
        time.sleep(interval_s)


def accepts(port: int) -> bool:
    """Whether something listens on a local TCP port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Run a Redis server without persistence; give its URL."""
    port = free_port()
    command = [require("redis-server"), "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: accepts(port), "redis-server listening")
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()


@contextmanager
def postgres_server(folder: Path) -> Iterator[str]:
    """Run a PostgreSQL server on a fresh cluster; give its URL. As root it runs as the user `postgres`."""
    bins = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    initdb = require("initdb", *map(str, bins))
    data = folder / "postgres"
    data.mkdir()
    as_user: list[str] = []
    if os.getuid() == 0:
        shutil.chown(data, "postgres")
        for parent in [folder, *folder.parents]:
            if parent.stat().st_uid == 0 and parent != Path("/") and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    subprocess.run(
        [*as_user, initdb, "-D", data, "-U", "postgres", "-A", "trust", "-N"], check=True, capture_output=True
    )
    port = free_port()
    server = [*as_user, str(Path(initdb).with_name("postgres")), "-D", str(data), "-p", str(port), "-k", ""]
    with (folder / "postgres.log").open("wb") as log, subprocess.Popen(server, stdout=log, stderr=log) as process:
        try:
            wait_for(lambda: accepts(port), "postgres listening")
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(2)  # SIGINT: fast shutdown
