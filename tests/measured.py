"""Runs a module of ours as `python -m` does, measured by coverage: python -m tests.measured cli worker

A process that is traced from its start takes three times the CPU, most of it for its imports, and so do its children.
Of this one coverage traces all but imports, which tests in pytest's own process trace, and not its children.
"""

import builtins
import os
import runpy
import sys
from typing import Any

import coverage

CONFIG = "MEASURED_CONFIG"
STARTUP = "COVERAGE_PROCESS_CONFIG"

_import = builtins.__import__


def run(module: str, arguments: list[str]) -> None:
    """Run it; measured if the environment has coverage's configuration, which its children do not get."""
    config = os.environ.pop(CONFIG, None)
    if config is not None:
        os.environ[STARTUP] = config
        coverage.process_startup(force=True)
        del os.environ[STARTUP]
        builtins.__import__ = _untraced_import
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _untraced_import(*named: Any, **more: Any) -> Any:
    trace = sys.gettrace()
    if trace is None:
        return _import(*named, **more)
    sys.settrace(None)
    try:
        return _import(*named, **more)
    finally:
        sys.settrace(trace)


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2:])
