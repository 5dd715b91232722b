"""Spares a process what it never uses."""

import sys


def without_httpx_command_line() -> None:
    """Keep httpx from loading its own command line, which it does wherever ``rich`` and ``click`` are installed.

    Nobody here runs it, and it is two thirds of httpx: 7 MB and half as much again of its loading time. httpx copes
    with its absence by design (``httpx/__init__.py``). To be called before anything imports httpx.
    """
    if "httpx" not in sys.modules:
        sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type] # the documented way to block an import
