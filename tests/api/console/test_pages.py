"""The console's pages as they are written: how fresh they stay, and that each of their actions has a test."""

import re
from importlib.resources import files
from pathlib import Path

import pytest

from tests.browser.actions import ACTIONS
from tests.browser.changes import PREPARE

APP = Path(str(files("console"))) / "app"
TESTS = Path(__file__).parents[2] / "browser"
LIVE_MS = 1500
SLOWER = {
    ("batches", 15_000): "of a key: its providers are asked for theirs",
    ("providers", 15_000): "and as soon as a call is booked",
    ("queue", 30_000): "the names and weights of keys",
    ("spend", 15_000): "and as soon as a call is booked",
    ("spend", 30_000): "a forecast",
    ("system", 15_000): "the checks of finops doctor",
}
ELSEWHERE = {"FinOps", "Sign in with your organisation", "Sign out"}
"""The way home, what `tests/api/admin` has with a real provider of identities, and what is in another row."""
CLOSING = {"Cancel", "Close", "Done"}
"""They close a dialog, in the tests of what it is for."""


def source(name: str) -> str:
    """The script of a page, of a part of pages, or the main one."""
    (found,) = APP.glob(f"**/{name}.js")
    return found.read_text(encoding="utf-8")


def test_live_pages_ask_again_within_a_second_and_a_half() -> None:
    (usual,) = {int(ms) for ms in re.findall(r"everyMs = (\d+)\)", source("poll"))}
    assert usual <= LIVE_MS
    found = {
        (page.stem, int(number.replace("_", "")))
        for page in APP.glob("pages/*.js")
        for rest in re.findall(r"\buse(?:Poll|Pages)\(.*\](, [^\]]*)\);", page.read_text(encoding="utf-8"))
        for number in re.findall(r"\b\d[\d_]*\b", rest)
    }
    assert {row for row in found if row[1] > LIVE_MS} == set(SLOWER)
    assert int(re.findall(r"usePoll\(.*\[\], (\d+)\)", source("poll"))[0]) <= LIVE_MS  # of what was booked


def test_a_change_is_tried_on_every_live_page() -> None:
    still = {"system", "try_it", "own_spend"}
    assert {prepare.__name__[1:] for prepare in PREPARE} == {page.stem for page in APP.glob("pages/*.js")} - still


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_every_action_of_a_page_has_a_test(name: str) -> None:
    labels = set(re.findall(r">([A-Z][A-Za-z ]+)</(?:button|a)>", source(name))) - CLOSING
    assert labels - ELSEWHERE <= set(ACTIONS[name])
    tests = "".join(file.read_text(encoding="utf-8") for file in TESTS.glob("test_*.py"))
    for test in set(ACTIONS[name].values()):
        assert re.search(rf"^def {test}\([^)]*press: Press", tests, re.MULTILINE), f"{test} presses nothing"


def test_every_page_is_in_the_table() -> None:
    assert {page.stem for page in APP.glob("pages/*.js")} <= set(ACTIONS)
    with_buttons = {part.stem for part in APP.glob("ui/*.js") if re.search(r"<button", part.read_text("utf-8"))}
    assert with_buttons - {"dialog"} <= set(ACTIONS)  # each dialog is in the test of what it is for
