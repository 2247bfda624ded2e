"""The OpenAPI page, with Swagger UI from a package rather than from somebody's network."""

from __future__ import annotations

from fastapi import Request
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import FileResponse, RedirectResponse, Response
from swagger_ui_bundle import swagger_ui_path

from gateway.rest.endpoints import Router
from triptych.errors import NotFound

router = Router(include_in_schema=False)

_FILES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}


@router.get("/")
async def root() -> Response:
    """Where a browser comes that was given the server's address."""
    return RedirectResponse("/docs")


@router.get("/docs")
async def docs(request: Request) -> Response:
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=request.app.title,
        swagger_js_url="/swagger-static/swagger-ui-bundle.js",
        swagger_css_url="/swagger-static/swagger-ui.css",
        swagger_favicon_url="/swagger-static/favicon-32x32.png",
    )


@router.get("/swagger-static/{name}")
async def static(name: str) -> Response:
    if name not in _FILES:
        raise NotFound("file", name)
    return FileResponse(f"{swagger_ui_path}/{name}", media_type=_FILES[name])
