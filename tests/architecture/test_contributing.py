"""What CONTRIBUTING.md tells a newcomer to touch exists, and the glossary is in order."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
TABLE = re.findall(r"^\| (an? [^|]+|another [^|]+) \| ([^|]+) \|$", CONTRIBUTING, re.MULTILINE)


def test_the_table_has_the_common_changes() -> None:
    things = {thing for thing, _ in TABLE}
    assert {"an OpenAI-compatible provider", "an inference endpoint", "a limit kind", "a setting"} <= things


@pytest.mark.parametrize(("thing", "touch"), TABLE, ids=[thing for thing, _ in TABLE])
def test_every_path_to_touch_exists(thing: str, touch: str) -> None:
    paths = re.findall(r"`([^`]+[./][^`]+)`", touch)
    assert paths, f"the row for {thing} names no path"
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_test_that_a_walkthrough_runs_exists() -> None:
    paths = re.findall(r"pytest -q ([\w/.]+)`", CONTRIBUTING)
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("shared/providers/registry.py", "ROWS"),
        ("shared/providers/registry.py", "class ProviderRow"),
        ("shared/surfaces/request_types.py", "REQUEST_TYPES"),
        ("shared/settings/limits.py", "class RateLimitSettings"),
        ("shared/governance/limits/model.py", "LIMIT_KINDS"),
    ],
)
def test_the_names_of_the_walkthroughs_exist(path: str, name: str) -> None:
    assert name in (ROOT / path).read_text(encoding="utf-8")
    assert name.removeprefix("class ") in CONTRIBUTING


def test_the_glossary_is_alphabetical_and_complete() -> None:
    terms = [term.lower() for term in re.findall(r"^- \*\*([^*]+)\*\*", GLOSSARY, re.MULTILINE)]
    assert terms == sorted(terms)
    assert len(terms) == len(set(terms)) >= 60
    assert {"lease", "reservation", "surface", "wire", "circuit breaker", "cooldown", "rate limit"} <= set(terms)
