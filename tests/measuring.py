"""Which tests coverage traces: a test takes more than twice the CPU while it is traced.

Python 3.11 traces each instruction, those of libraries too. What is not traced counts for nothing in the report, whose
`fail_under` sees to it that enough is.
"""

import importlib
import os
import pkgutil
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import coverage
import pytest

from tests.measured import CONFIG, STARTUP

# Files, folders and tests that run next to nothing of ours, or only lines that others reach too:
# `pytest --cov --cov-context=test` tells.
_UNTRACED = Path(__file__).with_name("untraced.txt").read_text().split()
UNTRACED_TESTS = frozenset(name for name in _UNTRACED if "::" in name)
UNTRACED_FILES = tuple(name for name in _UNTRACED if "::" not in name)


OURS = ("api", "cli", "shared", "simulator", "worker")
# Of a test that runs on every form of the store, one run is traced; tests of the store itself are all traced.
TRACED_STORE = "real-multiplexed"
OF_THE_STORE = "tests/store/"

_FIRST = pytest.StashKey[frozenset[str]]()
"""Of the tests of a module that have the same fixtures, the first one."""
_REPEATED = pytest.StashKey[frozenset[str]]()
"""The tests that are the same as a traced one, on another form of the store."""


@contextmanager
def untraced(*, new_threads_too: bool = True) -> Iterator[None]:
    """Run without the tracer of coverage (or of a debugger), and with it again afterwards.

    (pytest-cov's `no_cover` only ends the tracer that it started: in a pytest worker another one, which coverage starts
    in each process, is under it and goes on. Fixtures are traced all the same.)
    """
    here, in_threads = sys.gettrace(), threading.gettrace()
    _trace(None, None if new_threads_too else in_threads)
    try:
        yield
    finally:
        _trace(here, in_threads)


def is_traced(item: pytest.Item) -> bool:
    """Whether the test's lines count: many examples reach no line that one example does not."""
    many_examples = item.get_closest_marker("slow") is not None and item.get_closest_marker("process") is None
    name = item.nodeid.partition("[")[0]
    # Who runs a few files in this process wants to know what they reach.
    listed = "PYTEST_XDIST_WORKER" in os.environ and (name in UNTRACED_TESTS or name.startswith(UNTRACED_FILES))
    return not (many_examples or listed or item.nodeid in item.session.stash[_REPEATED])


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Trace imports in one pytest worker, as they are the same in each; and not the process that gives them work."""
    gives_work = "PYTEST_XDIST_WORKER" not in os.environ and getattr(
        early_config.known_args_namespace, "numprocesses", None
    )
    if gives_work or not _traces_imports():
        _trace(None, None)  # pytest-cov begins earlier, but later in a worker


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart() -> None:
    """Save what was traced of imports: in a pytest worker pytest-cov begins again now, and does not save it."""
    since_start = coverage.Coverage.current()
    if "PYTEST_XDIST_WORKER" in os.environ and _traces_imports() and since_start is not None:
        since_start.stop()
        since_start.save()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Trace imports of ours in one pytest worker, and processes of tests that ask for it.

    All workers wait for the one that collects last, and what pytest does to collect takes three times as long traced.
    """
    if STARTUP in os.environ:
        os.environ[CONFIG] = os.environ.pop(STARTUP)
    if _traces_imports() and sys.gettrace() is not None:
        _import_ours()
    with untraced():
        return (yield)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Choose the tests whose fixtures are traced: the same in each pytest worker, in any order."""
    first: dict[tuple[object, ...], str] = {}
    for item in sorted(session.items, key=lambda item: item.nodeid):
        first.setdefault(_fixtures_of(item), item.nodeid)
    session.stash[_FIRST] = frozenset(first.values())
    session.stash[_REPEATED] = frozenset(_repeated({item.nodeid: _store_of(item) for item in session.items}))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Trace a test and its fixtures, or neither."""
    if is_traced(item):
        return (yield)
    with untraced():
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Trace the same fixtures of a module once. (Threads that begin here may work for the test.)"""
    if item.nodeid in item.session.stash[_FIRST]:
        return (yield)
    with untraced(new_threads_too=False):
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """Trace the end of fixtures where their beginning was traced, and the end of a module."""
    ends_module = nextitem is None or nextitem.path != item.path
    if ends_module or item.nodeid in item.session.stash[_FIRST]:
        return (yield)
    with untraced():
        return (yield)


def _fixtures_of(item: pytest.Item) -> tuple[object, ...]:
    return item.path, _store_of(item), *getattr(item, "fixturenames", ())


def _store_of(item: pytest.Item) -> str | None:
    """The form of the store that the test runs on, if it runs on several."""
    found: str | None = getattr(getattr(item, "callspec", None), "params", {}).get("commands_kind")
    return found


def _repeated(stores: dict[str, str | None]) -> Iterator[str]:
    for test, store in stores.items():
        other = store and test.replace(store, TRACED_STORE)
        if other and other != test and other in stores and not test.startswith(OF_THE_STORE):
            yield test


def _import_ours() -> None:
    """Import every module, and make the OpenAPI document, which is made once a process."""
    for package in OURS:
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if not module.name.endswith(".__main__"):  # which is run, by processes of tests
                importlib.import_module(module.name)
    importlib.import_module("tests.document").openapi()


def _traces_imports() -> bool:
    dated = "FAKETIME" in os.environ  # `python -m tests.clock --cov`: the run beside it traces them
    return os.environ.get("PYTEST_XDIST_WORKER", "gw0") == "gw0" and not dated


def _trace(here, in_threads) -> None:
    sys.settrace(here)
    threading.settrace(in_threads)
