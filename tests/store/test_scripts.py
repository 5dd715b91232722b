"""Scripts come from files, whole."""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.store.scripts import Script, load_scripts

Package = Callable[..., str]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Makes an importable package with the files given."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(**texts: str) -> str:
        name = "lua_of_a_test"
        monkeypatch.delitem(sys.modules, name, raising=False)
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").touch()
        (folder / "notes.txt").write_text("not Lua")
        for stem, text in texts.items():
            (folder / f"{stem}.lua").write_text(text)
        return name

    yield make
    sys.modules.pop("lua_of_a_test", None)


def test_scripts_are_found_by_name_with_their_hash(package: Package) -> None:
    scripts = load_scripts(package(claim="return 1", finish="return 2"))
    assert sorted(scripts) == ["claim", "finish"]
    assert (scripts["claim"].name, scripts["claim"].source) == ("claim", "return 1")
    assert scripts["claim"].sha1 == hashlib.sha1(b"return 1").hexdigest()


def test_includes_are_put_in_place_nested_and_more_than_once(package: Package) -> None:
    scripts = load_scripts(
        package(
            claim="#!lua flags=allow-oom\n--!include prelude.lua\nreturn now() .. x\n--!include prelude.lua",
            prelude="--!include clock.lua\nlocal x = '\\1'\n",
            clock="local function now() return 1 end\n",
        )
    )
    prelude = "local function now() return 1 end\nlocal x = '\\1'"
    assert scripts["claim"].source == f"#!lua flags=allow-oom\n{prelude}\nreturn now() .. x\n{prelude}"


def test_a_missing_include_names_both_files(package: Package) -> None:
    with pytest.raises(ValueError, match=r"claim\.lua includes absent\.lua"):
        load_scripts(package(claim="--!include absent.lua"))


def test_a_circle_of_includes_is_refused(package: Package) -> None:
    with pytest.raises(ValueError, match=r"a\.lua -> b\.lua -> a\.lua"):
        load_scripts(package(a="--!include b.lua", b="--!include a.lua"))


def test_a_package_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ModuleNotFoundError):
        load_scripts("shared.nothing_here")


def test_without_flags_keeps_the_lines() -> None:
    flagged = Script("s", "#!lua flags=allow-oom\nreturn 1")
    assert flagged.without_flags().source == "--#!lua flags=allow-oom\nreturn 1"
    plain = Script("s", "return 1")
    assert plain.without_flags() is plain
