"""Lua scripts: loaded from packages, with includes expanded, and run by their hash."""

import hashlib
import re
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from importlib.resources import files
from types import ModuleType

from shared.store.script_pruning import prune

# A comment to Lua, so that a script's file stays valid Lua: --!include prelude.lua
INCLUDE = re.compile(r"^--!include[ \t]+(\S+)[ \t]*$", re.MULTILINE)


class Script:
    """A Lua script as the server runs it.

    Args:
        name: The file's name without `.lua`.
        source: The whole text with its includes expanded, or what makes it. Its first line may be `#!lua flags=...`
            (script flags, https://valkey.io/topics/eval-intro/).
    """

    def __init__(self, name: str, source: str | Callable[[], str]) -> None:
        self.name = name
        self._source = source

    @cached_property
    def source(self) -> str:
        """The whole text; made when it is first needed, as a process runs few of the scripts that it knows."""
        return self._source if isinstance(self._source, str) else self._source()

    @cached_property
    def sha1(self) -> str:
        """The hexadecimal hash by which EVALSHA names the script."""
        return hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    def without_flags(self) -> "Script":
        """Return the script for a server that rejects the `#!` line; line numbers stay."""
        return Script(self.name, f"--{self.source}") if self.source.startswith("#!") else self


def load_scripts(package: str | ModuleType, *libraries: str | ModuleType) -> Mapping[str, Script]:
    """Read every `*.lua` file of a package, by name; call it when a process starts, not at import.

    Files that others include are scripts too, and whole; the others lack what they include and never use. An include
    names a file of the package or of a library, and may itself include files.

    Raises:
        ModuleNotFoundError: There is no such package.
        ValueError: A file includes one that is missing, or itself.
    """
    own = _lua_files(package)
    found = {name: text for library in libraries for name, text in _lua_files(library).items()} | own
    included = {name for text in found.values() for name in INCLUDE.findall(text)}
    expanded = {name: _expand(name, found, ()) for name in sorted(own)}
    return {
        name.removesuffix(".lua"): Script(
            name.removesuffix(".lua"), "\n".join(fragments) if name in included else partial(prune, fragments)
        )
        for name, fragments in expanded.items()
    }


def _lua_files(package: str | ModuleType) -> dict[str, str]:
    """Read the files once: forty scripts include the same ones."""
    return {item.name: item.read_text("utf-8") for item in files(package).iterdir() if item.name.endswith(".lua")}


def _expand(name: str, found: Mapping[str, str], within: tuple[str, ...]) -> list[str]:
    """Return a file: its lines up to an include, those of the included file, and so on."""
    if name in within:
        raise ValueError(f"Lua file {name} includes itself: {' -> '.join((*within, name))}")
    if name not in found:
        raise ValueError(f"Lua file {within[-1]} includes {name}, which is not in its package")
    own, *more = INCLUDE.split(found[name])
    fragments = [own.removesuffix("\n") if more else own] if own else []
    while more:
        other, rest, *more = more
        fragments += _expand(other, found, (*within, name))
        fragments[-1] = fragments[-1].rstrip("\n")
        if not fragments[-1]:
            fragments.pop()
        fragments += _lines_between(rest) if more else [rest.removeprefix("\n")] if rest else []
    return fragments


def _lines_between(rest: str) -> list[str]:
    """Return what stands between two includes; nothing if the second is the next line."""
    lines = rest.removeprefix("\n")
    return [lines.removesuffix("\n")] if lines else []
