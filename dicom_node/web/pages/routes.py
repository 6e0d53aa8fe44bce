"""GET / (how the node stands) and GET /similar?q= (a study's look-alikes as a table).

The rule: every value goes through the template engine's escaping; scripts put text in place as text only.
"""

from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
from fastapi import APIRouter, Request, Response
from fastapi.templating import Jinja2Templates

from dicom_node import status
from dicom_node.errors import Corrupt, Rejected, Unavailable
from dicom_node.similar import named_studies, study_as_json
from dicom_node.similarity_search import Ask, Similar
from dicom_node.web.errors import problem_of, retry_headers
from dicom_node.web.parts import NodeParts, Parts
from dicom_node.web.similar import rows_for

router = APIRouter(include_in_schema=False)
DEFAULT_MATCHES = 8
MAXIMUM_MATCHES = 100


def readable_seconds(seconds: float | None) -> str:
    """Return a duration for a person's eye."""
    if seconds is None:
        return "none"
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def readable_bytes(size: int) -> str:
    """Return a size for a person's eye."""
    for unit, step in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= step:
            return f"{size / step:.1f} {unit}"
    return f"{size} B"


def readable_date(date: str) -> str:
    """Return a DICOM date (DA) as YYYY-MM-DD; what is none, as it is."""
    return f"{date[:4]}-{date[4:6]}-{date[6:]}" if len(date) == 8 and date.isdecimal() else date


def _templates() -> Jinja2Templates:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(seconds=readable_seconds, bytes=readable_bytes, date=readable_date)
    environment.globals["version"] = version("dicom-node")
    return Jinja2Templates(env=environment)


templates = _templates()


@router.get("/")
def status_page(request: Request, parts: Parts) -> Response:
    """Show how the node stands; the page then refreshes itself from /api/status."""
    try:
        now = status.gather(parts.catalog, parts.index).as_json()
    except (Unavailable, Corrupt) as error:
        return _failure(request, parts, error)
    return _page(request, "status.html", parts, status=now)


@router.get("/similar")
def similar_page(request: Request, parts: Parts, q: str = "", k: str = "") -> Response:
    """Show the studies that look like the one `q` names by Study Instance UID or accession number."""
    if not q.strip():
        return _page(request, "similar.html", parts)
    try:
        matches = _matches(k)
        named = named_studies(parts.catalog, q)
        if len(named) > 1:
            return _page(request, "similar.html", parts, q=q, k=matches, choices=_choices(parts, named))
        answer = parts.similarity.find(Ask(named[0], rows=rows_for(matches)))
    except (Rejected, Unavailable, Corrupt) as error:
        return _failure(request, parts, error, "similar.html", q=q)
    return _page(request, "similar.html", parts, q=q, k=matches, answer=answer, rows=_rows(answer))


def _matches(text: str) -> int:
    if not text:
        return DEFAULT_MATCHES
    if not (text.isascii() and text.isdecimal() and len(text) <= 3 and 1 <= int(text) <= MAXIMUM_MATCHES):
        raise Rejected(f"the number of studies is from 1 to {MAXIMUM_MATCHES}")
    return int(text)


def _choices(parts: NodeParts, uids: list[str]) -> list[dict[str, Any]]:
    studies = parts.catalog.studies(uids)
    return [study_as_json(studies[uid]) for uid in uids if uid in studies]


def _rows(answer: Similar) -> list[dict[str, Any]]:
    return [{"rank": match.rank, "score": match.score, **study_as_json(match.study)} for match in answer.matches]


def _failure(
    request: Request, parts: NodeParts, error: Exception, template: str = "failure.html", **context: Any
) -> Response:
    problem = problem_of(error)
    context |= {"title": problem.title, "detail": str(error)}
    response = _page(request, template, parts, problem.status, **context)
    response.headers.update(retry_headers(problem))
    return response


def _page(
    request: Request, template: str, parts: NodeParts, code: HTTPStatus = HTTPStatus.OK, **context: Any
) -> Response:
    defaults = {"dicom": parts.settings.dicom, "q": "", "k": DEFAULT_MATCHES}
    return templates.TemplateResponse(request, template, defaults | context, code)
