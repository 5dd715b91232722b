"""Keep libraries from loading parts that no process of ours uses.

Each of the parts is optional by its library's own design. Call ``skip_unused_imports`` before anything imports httpx,
redis or FastAPI; a part that is already loaded is left alone.
"""

import gc
import importlib
import importlib.util
import os
import sys
from collections.abc import MutableMapping
from types import ModuleType


def collect_rarely() -> None:
    """Let the garbage collector look only at every 50,000th new object: what a start makes stays.

    At Python's own 700 it takes a fifth of an API process's start (1.43 -> 1.15 s of CPU). A process that serves for
    long sets what suits it afterwards.
    """
    gc.set_threshold(50_000, 20, 50)


def skip_unused_imports() -> None:
    """Skip httpx's command line, and PyJWT and httpx2 until they are used. Safe for every process, and to repeat."""
    without_httpx_command_line()
    defer_unused_modules()


def without_httpx_command_line() -> None:
    """Keep httpx from loading its own command line, which it does wherever ``rich`` and ``click`` are installed.

    Nobody here runs it, and it is two thirds of httpx: 7 MB and half as much again of its loading time. httpx copes
    with its absence by design (``httpx/__init__.py``).
    """
    if "httpx" not in sys.modules:
        sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type] # the documented way to block an import


def defer_unused_modules() -> None:
    """Load PyJWT and httpx2 at their first use instead of at their import.

    ``redis.auth.token`` imports PyJWT wherever it is installed, for Microsoft Entra tokens alone, and it brings
    ``cryptography`` along: together a third of the time that importing redis takes (130 of 450 ms). ``genai_prices``
    imports httpx2, for downloads that we make ourselves (20 ms and 3 MB). Whoever does use them gets the real modules.
    (``importlib.util.LazyLoader`` does not serve: a second ``import jwt`` loads it.)
    """
    for name in ("jwt", "httpx2"):
        spec = None if name in sys.modules else importlib.util.find_spec(name)
        if spec is not None:
            module = importlib.util.module_from_spec(spec)
            module.__class__ = _DeferredModule
            sys.modules[name] = module


class _DeferredModule(ModuleType):
    """A module that runs its code when an attribute is missing that the code would define."""

    def __getattr__(self, name: str) -> object:
        self.__class__ = ModuleType  # type: ignore[assignment] # a module's class may be assigned
        if self.__spec__ is not None and self.__spec__.loader is not None:
            self.__spec__.loader.exec_module(self)
        return getattr(self, name)


def without_uvicorn_command_line() -> None:
    """Keep uvicorn from loading its own command line, and click and multiprocessing for that: 25 ms of an API's start.

    ``uvicorn.run`` and ``uvicorn.main`` are then None: for processes that run ``uvicorn.Server`` themselves.
    """
    if "uvicorn" not in sys.modules:
        sys.modules.setdefault("uvicorn.main", _WithoutCommandLine("uvicorn.main"))


class _WithoutCommandLine(ModuleType):
    """Stands in for ``uvicorn.main``: it passes on the server that its package takes from it."""

    main = run = None

    @property
    def Server(self) -> object:  # noqa: N802 - the name of uvicorn's class
        return importlib.import_module("uvicorn.server").Server


def without_pydantic_plugins(environ: MutableMapping[str, str] = os.environ) -> None:
    """Keep pydantic from looking for plugins in every installed package: 20 ms among the 144 of a development setup.

    By the variable that it has for that, which whoever does have a plugin sets otherwise.
    """
    environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


def without_pydantic_v1() -> None:
    """Keep FastAPI from loading pydantic's version 1, which it loads only to refuse models of that version.

    FastAPI copes with its absence by design (``fastapi/_compat/shared.py``): it is 7 % of the API's imports. For the
    API process alone: SDKs in other processes may use it.
    """
    if "pydantic.v1" not in sys.modules:
        sys.modules["pydantic.v1"] = None  # type: ignore[assignment] # the documented way to block an import
