"""Hooks of the site generator: pages that are not files of ``docs``.

The front page is ``README.md``, the project pages come from the repository's root, and the API reference is rendered from
the application's OpenAPI document.
"""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from api.app import create_app
from shared.settings.model import Settings

ROOT = Path(__file__).parents[1]
ROOT_PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
_LINK = re.compile(r"(\]\()((?:\.\./)*)([^)#:]+)([)#])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    document = create_app(Settings(), environ={}).openapi()
    texts = {site: _relinked((ROOT / source).read_text(encoding="utf-8")) for source, site in ROOT_PAGES.items()}
    texts |= {f"api/{name}": text for name, text in _reference(document).items()}
    texts |= {"openapi.json": json.dumps(document, indent=1), "LICENSE": (ROOT / "LICENSE").read_text(encoding="utf-8")}
    for name, text in texts.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Point links that leave ``docs`` to the pages made from the root."""

    def moved(link: re.Match[str]) -> str:
        head, up, target, tail = link.groups()
        return f"{head}{up.removeprefix('../')}{ROOT_PAGES[target]}{tail}" if up and target in ROOT_PAGES else link[0]

    return _LINK.sub(moved, markdown)


def _relinked(text: str) -> str:
    """A page of the root, with its links as seen from ``docs``."""

    def moved(link: re.Match[str]) -> str:
        head, _, target, tail = link.groups()
        return f"{head}{ROOT_PAGES.get(target, target.removeprefix('docs/'))}{tail}"

    return _LINK.sub(moved, text)


def _reference(document: dict[str, Any]) -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("api_reference", Path(__file__).parent / "api_reference.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pages: dict[str, str] = module.reference(document)
    return pages
