"""The processes of the index: the router with its shards as children, or one shard. Built here, run by `__main__`."""

import logging
import os
import stat
import sys
import threading
import time
from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path

from prometheus_client import start_http_server

from index_service.children import Child
from index_service.client import IndexClient
from index_service.errors import Unavailable
from index_service.folder import FolderLock
from index_service.metrics import ShardCollector
from index_service.router import Router
from index_service.server import IndexServer
from index_service.settings import IndexSettings
from index_service.shard import Shard

_logger = logging.getLogger(__name__)

# Time for the requests being answered to end, and for the shards after that: together below five seconds.
_GRACE_S = 1.0
_CHILD_STOP_S = 3.0
# How often a starting router looks whether it is told to stop, or whether a shard refuses to serve.
_READY_POLL_S = 0.25


def run_router(settings: IndexSettings, stop: threading.Event) -> None:
    """Serve the whole index until `stop` is set: own the folder, keep the shards running, answer."""
    lock = FolderLock(settings.data_dir, settings.lock_timeout_s)
    _prepare_run_dir(settings.run_dir)
    children = [] if settings.shard_addresses else _start_children(settings)
    try:
        _serve_router(settings, children, stop)
    finally:
        for child in children:
            child.request_stop()
        for child in children:
            child.stop(_CHILD_STOP_S)
        lock.release()


def _start_children(settings: IndexSettings) -> list[Child]:
    children = [
        Child(
            number,
            _shard_command(settings, number),
            delay_s=settings.restart_delay_s,
            delay_max_s=settings.restart_delay_max_s,
        )
        for number in range(settings.shard_count)
    ]
    for child in children:
        child.start()
    return children


def _shard_command(settings: IndexSettings, number: int) -> list[str]:
    config = settings.model_dump_json()
    command = [sys.executable, "-m", "index_service", "shard", str(number)]
    return [*command, "--config-json", config, "--parent-pid", str(os.getpid())]


def _serve_router(settings: IndexSettings, children: Sequence[Child], stop: threading.Event) -> None:
    clients = [
        IndexClient(
            settings.shard_address(number),
            search_timeout_s=settings.search_timeout_s,
            write_timeout_s=settings.write_timeout_s,
            message_bytes=settings.message_bytes,
        )
        for number in range(settings.shard_count)
    ]
    deadline = time.monotonic() + settings.start_timeout_s
    for client, child in zip_longest(clients, children):
        _wait_for_shard(client, child, deadline, stop)
    router = Router(clients, settings)
    stop_metrics = _start_metrics(settings, router)
    try:
        _serve(router, settings.address, settings, stop)
    finally:
        stop_metrics()
        router.close()


def _wait_for_shard(client: IndexClient, child: Child | None, deadline: float, stop: threading.Event) -> None:
    """Give a shard time to recover; one that is not there then is missing in the answers until it is."""
    while not stop.is_set():
        try:
            client.wait_until_ready(_READY_POLL_S)
        except Unavailable:
            if time.monotonic() > deadline or (child is not None and child.refuses):
                _logger.warning("serving without the shard at %s until it answers", client.address)
                return
        else:
            return


def _start_metrics(settings: IndexSettings, router: Router) -> Callable[[], None]:
    """Serve /metrics when asked for; return how to stop."""
    if not settings.metrics_port:
        return lambda: None
    ShardCollector(router.stats).register()
    server, _ = start_http_server(settings.metrics_port, settings.metrics_host)
    return server.shutdown


def run_shard(settings: IndexSettings, number: int, address: str, stop: threading.Event) -> None:
    """Serve one shard until `stop` is set, or until it can no longer trust its log: then raise Unavailable."""
    _prepare_run_dir(settings.run_dir)
    failed = threading.Event()

    def give_up() -> None:
        failed.set()
        stop.set()

    shard = Shard(settings, number, on_failure=give_up)
    try:
        _serve(shard, address, settings, stop)
    finally:
        shard.close()
    if failed.is_set():
        raise Unavailable(f"shard {number} gave up after a failed write, to recover from its log")


def _serve(index: Router | Shard, address: str, settings: IndexSettings, stop: threading.Event) -> None:
    server = IndexServer(index, address, threads=settings.threads, message_bytes=settings.message_bytes)
    server.start()
    _logger.info("serving at %s", address)
    stop.wait()
    server.stop(_GRACE_S)


def _prepare_run_dir(folder: Path) -> None:
    """Make the folder of the sockets, for this user alone; refuse one that somebody else could have put there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise Unavailable(f"folder {folder.name} of the sockets is not this user's alone")
