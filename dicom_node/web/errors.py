"""Which error gives which HTTP status: one table, answered as problem details (RFC 9457).

Used by every route; a page shows the same title and detail as text. The rule: a detail is a message of ours, which
never holds patient data, nor any value the client sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from dicom_node.errors import (
    Corrupt,
    ExampleNotEmbeddable,
    ExampleNotIndexed,
    ExampleUnknown,
    Rejected,
    SpaceUnknown,
    Unavailable,
)

TYPE_PREFIX = "urn:dicom-node:problem:"
MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    """How an error is answered; `name` ends the problem's type URI."""

    status: HTTPStatus
    name: str
    title: str
    retry_after_s: int | None = None


PROBLEMS: Mapping[type[Exception], Problem] = {
    ExampleUnknown: Problem(HTTPStatus.NOT_FOUND, "example-unknown", "No such example"),
    SpaceUnknown: Problem(HTTPStatus.NOT_FOUND, "space-unknown", "No such vector space"),
    # Not 409 or 425: nothing is wrong with the request, and Retry-After says what to do.
    ExampleNotIndexed: Problem(HTTPStatus.SERVICE_UNAVAILABLE, "example-not-indexed", "Not indexed yet", 5),
    ExampleNotEmbeddable: Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "example-not-embeddable", "Nothing to compare"),
    Rejected: Problem(HTTPStatus.BAD_REQUEST, "rejected", "Request not understood"),
    Unavailable: Problem(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", "Not available now", 5),
    Corrupt: Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "corrupt", "Stored data is damaged"),
}


def problem_of(error: Exception) -> Problem:
    """Return the most specific row of the table for one of the node's errors."""
    return next(PROBLEMS[kind] for kind in type(error).__mro__ if kind in PROBLEMS)


def install(app: FastAPI) -> None:
    """Have `app` answer the node's errors, and those of the framework, as problem details."""
    for kind in (Rejected, Unavailable, Corrupt):
        app.add_exception_handler(kind, _answer)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(Exception, _answer_unexpected)


def problem_response(problem: Problem, detail: str) -> JSONResponse:
    """Build the response for a problem."""
    body = {
        "type": TYPE_PREFIX + problem.name,
        "title": problem.title,
        "status": int(problem.status),
        "detail": detail,
    }
    return JSONResponse(body, problem.status, retry_headers(problem), MEDIA_TYPE)


def retry_headers(problem: Problem) -> dict[str, str]:
    """Return the headers that go with a problem."""
    return {} if problem.retry_after_s is None else {"Retry-After": str(problem.retry_after_s)}


def _answer(_: Request, error: Exception) -> JSONResponse:
    return problem_response(problem_of(error), str(error))


def _answer_invalid(_: Request, error: Exception) -> JSONResponse:
    """Name the wrong parameters and what is wrong with them, without repeating their values."""
    assert isinstance(error, RequestValidationError)
    details = (f"{item['loc'][-1]}: {item['msg']}" for item in error.errors())
    return problem_response(PROBLEMS[Rejected], "; ".join(details))


def _answer_http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    body = {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": error.detail}
    return JSONResponse(body, status, error.headers, MEDIA_TYPE)


def _answer_unexpected(_: Request, __: Exception) -> JSONResponse:
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    body = {"type": "about:blank", "title": status.phrase, "status": int(status)}
    return JSONResponse(body, status, media_type=MEDIA_TYPE)
