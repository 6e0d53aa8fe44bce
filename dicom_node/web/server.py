"""The HTTP server: uvicorn on a thread of the serving process, on a socket bound before it starts."""

import socket
import threading

import uvicorn
from fastapi import FastAPI

from dicom_node.errors import Unavailable
from dicom_node.settings import HttpSettings

START_S = 10.0
STOP_S = 3
BACKLOG = 128
MAXIMUM_CONNECTIONS = 256
HEADER_BYTES = 16 << 10


class HttpServer:
    """Serves one app. `start`, then `stop`; not startable again."""

    def __init__(self, settings: HttpSettings, app: FastAPI) -> None:
        """Prepare to serve `app` where `settings` say; port 0 takes a free one."""
        self._settings = settings
        self._socket: socket.socket | None = None
        self._server = _Server(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=MAXIMUM_CONNECTIONS,
                h11_max_incomplete_event_size=HEADER_BYTES,
                timeout_graceful_shutdown=STOP_S,
            )
        )
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    @property
    def bound_port(self) -> int:
        """The port it listens on, once started."""
        if self._socket is None:
            raise Unavailable("the HTTP server is not started")
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Bind and serve; return when requests are answered. Raises Unavailable when the port cannot be had."""
        host, port = self._settings.host, self._settings.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family, backlog=BACKLOG)
        except OSError as error:
            raise Unavailable(f"HTTP cannot listen on port {port}: {error.strerror}") from error
        self._thread.start()
        if not self._server.answering.wait(START_S):
            raise Unavailable(f"HTTP did not start within {START_S:.0f} s")

    def stop(self) -> None:
        """Finish the requests being answered, for at most STOP_S, then close."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(STOP_S + 2)
        if self._socket is not None:
            self._socket.close()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket] if self._socket else None)


class _Server(uvicorn.Server):
    """Tells when it answers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answering = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answering.set()
