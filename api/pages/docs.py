"""``/docs``: Swagger UI from files of the package, so that it works without the internet."""

from collections.abc import Mapping
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse, Response

from shared.errors import NotFound

router = APIRouter(include_in_schema=False)

FOLDER = Path(__file__).parent
ASSETS: Mapping[str, tuple[Path, str]] = {
    "swagger-ui-bundle.js": (FOLDER / "swagger_ui" / "swagger-ui-bundle.js", "text/javascript"),
    "swagger-ui.css": (FOLDER / "swagger_ui" / "swagger-ui.css", "text/css"),
    "docs.js": (FOLDER / "docs.js", "text/javascript"),
    "front.css": (FOLDER / "front.css", "text/css"),
    "icon.svg": (FOLDER / "icon.svg", "image/svg+xml"),
}
# Swagger UI sets style attributes and draws its icons from data URLs.
SECURITY_HEADERS: Mapping[str, str] = {
    "content-security-policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


@router.get("/docs")
async def docs() -> Response:
    """The page."""
    return FileResponse(FOLDER / "docs.html", media_type="text/html", headers=SECURITY_HEADERS)


@router.get("/docs/{name}")
async def asset(name: str) -> Response:
    """A file that the page loads.

    Raises:
        NotFound: There is no such file.
    """
    if name not in ASSETS:
        raise NotFound(f"No file {name[:100]!r} belongs to /docs.")
    path, media_type = ASSETS[name]
    headers = {"cache-control": "public, max-age=3600", "x-content-type-options": "nosniff"}
    return FileResponse(path, media_type=media_type, headers=headers)
