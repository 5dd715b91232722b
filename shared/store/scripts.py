"""Lua scripts: loaded from packages, with includes expanded, and run by their hash."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import ModuleType

# A comment to Lua, so that a script's file stays valid Lua: --!include prelude.lua
INCLUDE = re.compile(r"^--!include[ \t]+(\S+)[ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class Script:
    """A Lua script as the server runs it.

    Attributes:
        name: The file's name without `.lua`.
        source: The whole text with its includes expanded. Its first line may be `#!lua flags=...`
            (script flags, https://valkey.io/topics/eval-intro/).
    """

    name: str
    source: str

    @cached_property
    def sha1(self) -> str:
        """The hexadecimal hash by which EVALSHA names the script."""
        return hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    def without_flags(self) -> "Script":
        """Return the script for a server that rejects the `#!` line; line numbers stay."""
        return Script(self.name, f"--{self.source}") if self.source.startswith("#!") else self


def load_scripts(package: str | ModuleType, *libraries: str | ModuleType) -> Mapping[str, Script]:
    """Read every `*.lua` file of a package, by name; call it when a process starts, not at import.

    Files that others include are scripts too. An include names a file of the package or of a library, and may itself
    include files.

    Raises:
        ModuleNotFoundError: There is no such package.
        ValueError: A file includes one that is missing, or itself.
    """
    own = _lua_files(package)
    found = {name: item for library in libraries for name, item in _lua_files(library).items()} | own
    return {
        name.removesuffix(".lua"): Script(name.removesuffix(".lua"), _expand(name, found, ())) for name in sorted(own)
    }


def _lua_files(package: str | ModuleType) -> dict[str, Traversable]:
    return {item.name: item for item in files(package).iterdir() if item.name.endswith(".lua")}


def _expand(name: str, found: Mapping[str, Traversable], within: tuple[str, ...]) -> str:
    """Read a file and replace its include lines with the included files."""
    if name in within:
        raise ValueError(f"Lua file {name} includes itself: {' -> '.join((*within, name))}")
    if name not in found:
        raise ValueError(f"Lua file {within[-1]} includes {name}, which is not in its package")
    text = found[name].read_text(encoding="utf-8")
    return INCLUDE.sub(lambda line: _expand(line[1], found, (*within, name)).rstrip("\n"), text)
