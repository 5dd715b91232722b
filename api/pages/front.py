"""``/``: where everything is, as a page for browsers and as JSON for programs."""

import html
from collections.abc import Iterable, Mapping
from pathlib import Path

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.endpoints.deps import as_response
from api.http.request_context import json_reply
from api.pages.docs import SECURITY_HEADERS

router = APIRouter(tags=["operations"])

CONSOLE = "/ui"
PAGES: Mapping[str, tuple[str, str]] = {
    "console": (CONSOLE, "Console: jobs, spend, keys and providers"),
    "docs": ("/docs", "API documentation"),
    "openapi": ("/openapi.json", "The same as an OpenAPI document"),
    "ready": ("/health/ready", "Health: whether everything can be served"),
    "live": ("/health/live", "Health: whether the process lives"),
    "metrics": ("/metrics", "Metrics for Prometheus"),
}
SURFACES: Mapping[str, str] = {"openai": "/openai", "anthropic": "/anthropic", "genai": "/genai"}
_FILE = Path(__file__).with_name("front.html")


@router.get(
    "/",
    summary="Where everything is",
    responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}},
)
def front(request: Request) -> Response:  # in a thread: it reads a file
    """The paths of documentation, health, metrics, console and surfaces: HTML for a browser, else JSON."""
    served = {path.split("/")[1] for route in request.app.router.routes if (path := getattr(route, "path", ""))}
    pages = {name: page for name, page in PAGES.items() if name != "console" or CONSOLE.strip("/") in served}
    version = request.app.version
    if "text/html" in request.headers.get("accept", ""):
        return Response(_page(version, pages.values(), request), media_type="text/html", headers=SECURITY_HEADERS)
    links = {name: path for name, (path, _) in pages.items()}
    return as_response(json_reply({"name": "FinOps gateway", "version": version, **links, "surfaces": dict(SURFACES)}))


def _page(version: str, pages: Iterable[tuple[str, str]], request: Request) -> str:
    """Render the page; links are relative, so that they work behind a proxy that adds a prefix."""
    links = "".join(f'<li><a href="{path[1:]}">{html.escape(text)}</a></li>\n' for path, text in pages)
    base = html.escape(str(request.base_url).rstrip("/"))
    surfaces = "".join(
        f"<tr><th>{name}</th><td><code>{base}{path}</code></td></tr>\n" for name, path in SURFACES.items()
    )
    return _FILE.read_text(encoding="utf-8").format(version=html.escape(version), links=links, surfaces=surfaces)
