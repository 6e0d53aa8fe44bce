"""GET /healthz (the process answers) and /readyz (a stored instance could be kept, embedded and found)."""

from collections.abc import Callable

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from dicom_node.errors import Corrupt, Rejected, Unavailable
from dicom_node.web.parts import Parts

router = APIRouter()
PROBES = ["GET", "HEAD"]


@router.api_route("/healthz", methods=PROBES)
def healthz() -> dict[str, str]:
    """Say that the process is alive."""
    return {"status": "ok"}


@router.api_route("/readyz", methods=PROBES)
def readyz(parts: Parts) -> JSONResponse:
    """Say whether every station on an instance's way is there; 503 names what is not."""
    checks = {name: _outcome(check) for name, check in parts.checks.items()}
    ready = all(outcome == "ok" for outcome in checks.values())
    return JSONResponse({"ready": ready, "checks": checks}, 200 if ready else 503)


def _outcome(check: Callable[[], object]) -> str:
    try:
        check()
    except (Unavailable, Corrupt, Rejected) as error:
        return str(error) or type(error).__name__
    return "ok"
