"""GET /metrics for Prometheus, of this process and relayed from the others, and GET /api/status for everyone else.

The node's other processes listen on loopback only; so one port is open to the monitoring, and one job scrapes it all.
"""

import http.client
from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

from dicom_node import status
from dicom_node.settings import Settings
from dicom_node.web.parts import Parts

router = APIRouter()
RELAY_TIMEOUT_S = 3.0
MAXIMUM_METRICS_BYTES = 8 << 20
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a child bound to all addresses is reached


@router.get("/api/status")
def read_status(parts: Parts) -> dict[str, Any]:
    """Say how the node stands: counts by state, throughput, backlog, shards."""
    return status.gather(parts.catalog, parts.index).as_json()


@router.get("/metrics")
def metrics() -> Response:
    """Give this process's metrics in Prometheus' text format."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


@router.get("/metrics/{process}")
def relay_metrics(process: str, parts: Parts) -> Response:
    """Give the metrics of the node's dispatch, worker or index process."""
    host, port = _addresses(parts.settings).get(process, ("", 0))
    if not port:
        raise HTTPException(404, "no process of this name serves metrics")
    text, content_type = _fetch(ANY_ADDRESS.get(host, host), port)
    return Response(text, media_type=content_type)


def _addresses(settings: Settings) -> dict[str, tuple[str, int]]:
    return {
        "dispatch": (settings.metrics.host, settings.metrics.dispatch_port),
        "worker": (settings.metrics.host, settings.metrics.worker_port),
        "index": (settings.index.metrics_host, settings.index.metrics_port or 0),
    }


def _fetch(host: str, port: int) -> tuple[bytes, str]:
    connection = http.client.HTTPConnection(host, port, timeout=RELAY_TIMEOUT_S)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        text = answer.read(MAXIMUM_METRICS_BYTES + 1)
    except OSError as error:
        raise HTTPException(503, "the process does not answer", {"Retry-After": "5"}) from error
    except http.client.HTTPException as error:
        raise HTTPException(502, "the process answered no HTTP") from error
    finally:
        connection.close()
    if answer.status != 200 or len(text) > MAXIMUM_METRICS_BYTES:
        raise HTTPException(502, "the process answered no metrics")
    return text, answer.getheader("Content-Type", CONTENT_TYPE_LATEST)
