"""The HTTP edge as one FastAPI app: joins the routers, the error table and the guards. Built by `serve`."""

from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from dicom_node.web import errors, health, monitoring, similar
from dicom_node.web.guard import RequestGuard, ResponseHeaders
from dicom_node.web.pages import routes as pages
from dicom_node.web.parts import NodeParts

__all__ = ["NodeParts", "create_app"]

STATIC = Path(__file__).with_name("pages") / "static"


def create_app(parts: NodeParts) -> FastAPI:
    """Build the app over the parts of a node."""
    # The interactive documentation would load scripts from elsewhere; the schema is at /api/openapi.json.
    app = FastAPI(
        title="dicom-node",
        version=version("dicom-node"),
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.state.parts = parts
    errors.install(app)
    for module in (health, monitoring, similar, pages):
        app.include_router(module.router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_middleware(RequestGuard, host=parts.settings.http.host)
    app.add_middleware(ResponseHeaders)
    return app
