"""What a script never uses does not run."""

import pytest

from shared.jobs.scripts import engine_scripts
from shared.store.script_pruning import prune


def test_what_is_used_stays_with_what_it_uses_itself() -> None:
    source = "local function a() return 1 end\nlocal function b()\n  return a()\nend\nlocal c = {\n  1,\n}\nreturn b()"
    assert prune([source]) == source.replace("local c = {\n  1,\n}", "\n\n")


@pytest.mark.parametrize(
    "unused",
    [
        "local function one() return 1 end",
        "local function one()\n  return 1\nend",
        "local one",
        "local one = 'text'",
        "local one, two = {}, {}",
        "local one = {1, 2,\n  3}",
        "local one = string.rep('0,', 3)",
        "local function one() return two end\nlocal function two() return one end",
        "local one = 1  -- one",
    ],
)
def test_what_is_not_used_leaves_empty_lines(unused: str) -> None:
    assert prune([unused, "return 3  -- one"]) == "\n" * (unused.count("\n") + 1) + "return 3"


def test_one_of_two_names_keeps_both() -> None:
    source = "local one, two = {}, {}\nreturn two"
    assert prune([source]) == source


def test_constants_are_written_where_they_are_used() -> None:
    source = "local LIVE = 'finops:live'\nlocal DAY_MS = 86400000  -- a day\nreturn redis.call('LIVE', LIVE, DAY_MS)"
    assert prune([source]) == "\n\nreturn redis.call('LIVE', 'finops:live', 86400000)"


def test_what_has_effects_stays() -> None:
    source = "local books = open_books()\nlocal now = redis.call('TIME')\nreturn 1"
    assert prune([source]) == source


def test_a_definition_without_an_end_is_refused() -> None:
    with pytest.raises(ValueError, match="before line 2 has no end"):
        prune(["local function a()\n  return 1"])


def test_a_submit_defines_less_than_half_of_the_prelude() -> None:
    scripts = engine_scripts()
    whole = scripts["prelude"].source.count("\nlocal function ")
    assert scripts["submit"].source.count("\nlocal function ") < whole / 2
