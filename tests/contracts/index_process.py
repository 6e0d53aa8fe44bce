"""The index service as the node runs it: a process of its own, with its shards as children."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from index_service.client import IndexClient
from index_service.settings import IndexSettings
from tests.servers import wait_for


@dataclass(frozen=True)
class IndexProcess:
    """A running router with its settings and a client."""

    settings: IndexSettings
    process: subprocess.Popen[bytes]
    client: IndexClient

    def shard(self, number: int) -> psutil.Process:
        """Return the process of a shard, waiting for it when it is just being started."""
        wait_for(lambda: self._shards(number), f"process of shard {number}")
        return self._shards(number)[0]

    def _shards(self, number: int) -> list[psutil.Process]:
        found = []
        for child in psutil.Process(self.process.pid).children():
            try:
                arguments = child.cmdline()
            except psutil.NoSuchProcess:
                continue
            if arguments[3:5] == ["shard", str(number)]:
                found.append(child)
        return found

    def is_whole(self) -> bool:
        """Return whether every shard answers."""
        return all(stats.available for stats in self.client.stats())


@contextmanager
def index_process(settings: IndexSettings) -> Iterator[IndexProcess]:
    """Run the index service until the end of the block."""
    command = [sys.executable, "-m", "index_service", "router", "--config-json", settings.model_dump_json()]
    with subprocess.Popen([*command, "--parent-pid", str(os.getpid())], stderr=subprocess.DEVNULL) as process:
        client = IndexClient(settings.address)
        try:
            client.wait_until_ready(30)
            yield IndexProcess(settings, process, client)
        finally:
            client.close()
            process.terminate()
            process.wait(10)
