"""Runs a module of ours as `python -m` does, measured by coverage: python -m tests.measured cli worker

A process that is traced from its start takes three times the CPU: it imports for 4 s, and so do its children. This one
is traced once it has imported what it runs, and its children are not.
"""

import importlib
import os
import runpy
import sys

import coverage

CONFIG = "MEASURED_CONFIG"
STARTUP = "COVERAGE_PROCESS_CONFIG"
IMPORTED = {"api": "api.server", "worker": "worker.main"}  # by a tier, a module as well as a command


def run(module: str, arguments: list[str]) -> None:
    """Run it; measured if the environment has coverage's configuration, which its children do not get."""
    config = os.environ.pop(CONFIG, None)
    if config is not None:
        importlib.import_module("cli.main")  # which comes first, as it keeps libraries from loading what nobody uses
        for name in {module, *arguments[:1]} & IMPORTED.keys():
            importlib.import_module(IMPORTED[name])
        os.environ[STARTUP] = config
        coverage.process_startup(force=True)
        del os.environ[STARTUP]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2:])
