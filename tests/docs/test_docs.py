import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree as ET

import pytest
from pydantic import BaseModel

from shared.settings.descriptions import MEANINGS
from shared.settings.model import Section, Settings

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
OURS = ("api/", "worker/", "shared/", "simulator/", "cli/", "tests/", "bench/", "docs/", "deploy/")


def tables() -> ModuleType:
    return script("tables")


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_are_as_the_code_has_them(page: Path) -> None:
    text = page.read_text()
    assert tables().filled(text) == text, "run: make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_only_files_that_exist(page: Path) -> None:
    text = page.read_text()
    named = [name for name in re.findall(r"`([\w./-]+)`", text) if name.startswith(OURS)]
    linked = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    assert [name for name in named if not (ROOT / name).exists()] == []
    assert [name for name in linked if not (page.parent / name).exists()] == []


def test_every_error_and_provider_is_in_its_table() -> None:
    assert "`job_not_found`" in tables().error_codes()
    assert "`llama.cpp`" in tables().providers()
    assert "`jobs.max_attempts`" in tables().settings()


def test_every_setting_has_a_meaning() -> None:
    unexplained = [".".join(path) for path, meaning, _ in tables().setting_rows(Settings, ()) if not meaning]
    assert unexplained == [], "describe these in shared/settings/descriptions.py, then run: make docs"


def test_no_meaning_is_of_a_setting_that_does_not_exist() -> None:
    def family(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
        yield kind
        for child in kind.__subclasses__():
            yield from family(child)

    sections = {kind.__name__: kind for kind in family(Section)}
    stale = [
        f"{name}.{field}"
        for name, fields in MEANINGS.items()
        for field in fields
        if field not in sections[name].model_fields
    ]
    assert stale == []


def test_the_picture_of_a_months_spend_is_as_its_script_draws_it(tmp_path: Path) -> None:
    spend = script("spend")
    drawn = spend.picture(spend.simulated_usage())
    assert spend.PICTURE.read_text() == drawn, "run: make docs"
    root = ET.fromstring(drawn)
    assert len(root.findall("{http://www.w3.org/2000/svg}rect")) == 1 + 30 * len(spend.TEAMS) + len(spend.TEAMS)
    usage = {"data": [{"period": "2026-11-01", "team": "<a&b>", "cost_usd": 1.5}]}
    (tmp_path / "usage.json").write_text(json.dumps(usage))
    assert spend.main([str(tmp_path / "usage.json"), str(tmp_path / "own.svg")]) == 0
    assert "&lt;a&amp;b&gt;" in (tmp_path / "own.svg").read_text()
