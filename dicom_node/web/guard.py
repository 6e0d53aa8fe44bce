"""What is refused before any route sees it, and the headers on every answer.

Two ASGI middlewares. A page of another origin must not reach a node that listens on loopback by pointing its own name
at 127.0.0.1 (DNS rebinding), so there the Host must be this machine; request bodies are small or absent; and nothing
but our own scripts and styles runs in a browser.
"""

import ipaddress
import socket

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dicom_node.web.errors import MEDIA_TYPE

MAXIMUM_BODY_BYTES = 64 << 10
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class RequestGuard:
    """Refuses requests to a foreign Host (400) and those with a large body (413)."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        """Guard `app`, which listens on `host`."""
        self._app = app
        self._only_this_machine = _is_loopback(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http" and (refusal := self._refusal(Headers(scope=scope))):
            await refusal(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _refusal(self, headers: Headers) -> JSONResponse | None:
        if self._only_this_machine and not is_this_machine(headers.get("host", "")):
            return _refuse(400, "Bad Request", "this node answers on its own machine only")
        if _has_large_body(headers):
            return _refuse(413, "Content Too Large", f"at most {MAXIMUM_BODY_BYTES} bytes are read")
        return None


class ResponseHeaders:
    """Adds the security headers to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and its answer back with the headers."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def is_this_machine(host: str) -> bool:
    """Tell whether a Host header names this machine: an address, localhost or the machine's own name."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    name = name.removeprefix("[").removesuffix("]").casefold()
    return name in {"localhost", socket.gethostname().casefold()} or _is_address(name)


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _has_large_body(headers: Headers) -> bool:
    length = headers.get("content-length", "0")
    too_long = not length.isdigit() or int(length) > MAXIMUM_BODY_BYTES
    return too_long or "transfer-encoding" in headers


def _refuse(status: int, title: str, detail: str) -> JSONResponse:
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return JSONResponse(body, status, media_type=MEDIA_TYPE)
