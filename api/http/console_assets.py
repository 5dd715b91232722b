"""Serve the console's static files: hashed paths that never change, a page that is always revalidated."""

import base64
import gzip
import hashlib
import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from api.http.request_context import HeaderLine

TYPES = {
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".mjs": b"text/javascript; charset=utf-8",
    ".txt": b"text/plain; charset=utf-8",
}
IMPORTS = {
    "preact": "vendor/preact.mjs",
    "preact/hooks": "vendor/preact-hooks.mjs",
    "htm": "vendor/htm.mjs",
    "@preact/signals": "vendor/signals.mjs",
    "@preact/signals-core": "vendor/signals-core.mjs",
    "uplot": "vendor/uplot.mjs",
}
# The types in JSDoc are for the editor and the check of types: 8 % of what a browser would load.
_DOC_COMMENT = re.compile(rb"/\*\*.*?\*/ ?", re.DOTALL)
_FOREVER = b"public, max-age=31536000, immutable"
_REVALIDATE = b"no-cache"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is sent.

    Attributes:
        plain: Its bytes.
        packed: The same, gzipped.
        headers: Without length and encoding.
        etag: Strong validator of ``plain``, quoted.
    """

    plain: bytes
    packed: bytes
    headers: tuple[HeaderLine, ...]
    etag: bytes


@dataclass(frozen=True, slots=True)
class Assets:
    """The whole console in memory: some 250 KB.

    Attributes:
        page: ``index.html``, for every address of the console.
        files: Static files by path below ``/ui/``.
    """

    page: Asset
    files: dict[str, Asset]


@cache
def load_assets() -> Assets:
    """Read the console from its package, once per process."""
    root = files("console")
    found = {
        path: _DOC_COMMENT.sub(b"", content) if path.startswith("app/") and path.endswith(".js") else content
        for folder in ("app", "vendor")
        for path, content in _walk(root / folder, folder)
        if path[path.rfind(".") :] in TYPES
    }
    version = hashlib.sha256(b"".join(path.encode() + found[path] for path in sorted(found))).hexdigest()[:12]
    base = f"/ui/{version}"
    import_map = json.dumps({"imports": {name: f"{base}/{path}" for name, path in IMPORTS.items()}})
    page = (root / "index.html").read_text().replace("{base}", base).replace("{importmap}", import_map)
    return Assets(
        page=_asset(page.encode(), b"text/html; charset=utf-8", _REVALIDATE, _page_headers(import_map)),
        files={
            f"{version}/{path}": _asset(content, TYPES[path[path.rfind(".") :]], _FOREVER)
            for path, content in found.items()
        },
    )


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for entry in folder.iterdir():
        path = f"{prefix}/{entry.name}"
        found += _walk(entry, path) if entry.is_dir() else [(path, entry.read_bytes())]
    return found


def _asset(content: bytes, kind: bytes, lifetime: bytes, more: tuple[HeaderLine, ...] = ()) -> Asset:
    etag = b'"%s"' % hashlib.sha256(content).hexdigest()[:24].encode()
    headers = (
        (b"content-type", kind),
        (b"cache-control", lifetime),
        (b"etag", etag),
        (b"vary", b"accept-encoding"),
        (b"x-content-type-options", b"nosniff"),
        *more,
    )
    return Asset(content, gzip.compress(content, 9, mtime=0), headers, etag)


def _page_headers(import_map: str) -> tuple[HeaderLine, ...]:
    """Only our own files run; the inline import map is allowed by its hash, nothing else inline is."""
    digest = base64.b64encode(hashlib.sha256(import_map.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    return (
        (b"content-security-policy", policy.encode()),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"x-frame-options", b"DENY"),
    )
