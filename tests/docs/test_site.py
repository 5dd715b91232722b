"""The API reference of the site has every operation of the application, once."""

import re
from typing import Any

import pytest

from tests.docs.test_docs import ROOT, script
from tests.document import openapi


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi()


@pytest.fixture(scope="module")
def pages(document: dict[str, Any]) -> dict[str, str]:
    return script("api_reference").reference(document)


def test_every_path_is_on_the_page_of_its_tag(document: dict[str, Any], pages: dict[str, str]) -> None:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert path in re.sub(r"`\w+ ", "`", pages[f"{operation['tags'][0]}.md"])


def test_paths_that_differ_only_in_their_prefix_share_a_section(pages: dict[str, str]) -> None:
    assert pages["inference.md"].count("\n## chat.completions") == 1
    assert "Also at `/openai/chat/completions`, `/openai/v1/chat/completions`" in pages["inference.md"]


def test_a_section_lists_parameters_fields_and_statuses(pages: dict[str, str]) -> None:
    section = pages["administration.md"].partition("`POST /api/keys`")[2].partition("\n## ")[0]
    assert "| `name` | string | yes |" in section
    assert "Requires the admin key." in section
    assert "| 201 |" in section


def test_every_page_is_in_the_navigation(pages: dict[str, str]) -> None:
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    written = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert {f"api/{name}" for name in pages} | written <= set(re.findall(r"[\w./-]+\.md", navigation))


def test_search_works_from_the_file_system() -> None:
    polyfills = re.findall(r"- (vendor/\S+\.js)", (ROOT / "mkdocs.yml").read_text())
    assert [path for path in polyfills if "iframe-worker" in path and (ROOT / "docs" / path).is_file()]
