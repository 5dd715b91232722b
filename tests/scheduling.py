"""Which tests run in one pytest worker, because a gateway that they share would be started again in each other."""

from collections.abc import Callable
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.clock import DATED

# Longest first: the browser takes five minutes of one pytest worker.
TOGETHER = {
    "tests/browser/test_actions.py": "browser",
    "tests/browser/test_console.py": "browser",
    "tests/browser/test_live.py": "browser",
    **dict.fromkeys(
        (
            "tests/cli/test_bulk_and_schedules.py",
            "tests/cli/test_cache.py",
            "tests/cli/test_config.py",
            "tests/cli/test_first_commands.py",
            "tests/cli/test_following.py",
            "tests/cli/test_gateway_check.py",
            "tests/cli/test_jobs.py",
            "tests/cli/test_keys.py",
            "tests/cli/test_prices.py",
            "tests/cli/test_queue.py",
            "tests/cli/test_runs.py",
            "tests/cli/test_terminal.py",
            "tests/cli/test_tokens.py",
            "tests/cli/test_top.py",
            "tests/cli/test_ui.py",
            "tests/cli/test_usage.py",
            "tests/journeys/test_first_hour.py",
            "tests/journeys/test_shared_gateway.py",
            "tests/sdk_js/test_sdk_js.py",
        ),
        "gateway",
    ),
    "tests/docs/test_examples.py": "examples",
    "tests/journeys/test_batches.py": "batches",
    "tests/journeys/test_first_answer.py": "first-answer",
    "tests/cli/test_webhooks.py": "webhooks",
    "tests/journeys/test_keys.py": "tiers",
    "tests/journeys/test_replacement.py": "replacement",
    "tests/journeys/test_environment.py": "replacement",
    "tests/journeys/test_wheel.py": "wheel",
    "tests/docs/test_site.py": "site",
    "tests/failover/test_engine.py": "engine",
    "tests/failover/test_migration.py": "engine",
    "tests/failover/test_shards.py": "engine",
    "tests/api/sign_in/test_sign_in.py": "sign-in",
}
# Fixtures that start a server, or need one; and tests that start servers and processes themselves.
SERVERS = frozenset({"real_store", "redis_url", "shared_cluster", "sim", "served_gateway"})
WITH_SERVERS = ("tests/failover/", "tests/test_lean.py")


class TogetherScheduling(LoadScopeScheduling):
    """Tests of files that share something go to one worker, each other test to whoever is free.

    (pytest-xdist's own groups are of no effect with pytest 9.2: they are written into an attribute it has not.)
    """

    def _split_scope(self, nodeid: str) -> str:
        return TOGETHER.get(nodeid.partition("::")[0], nodeid)

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
        """Note that a worker has run a test.

        pytest-xdist keeps all groups that a worker has run and counts them again after each test.
        """
        nodeid = self.registered_collections[node][item_index]
        scope = self._split_scope(nodeid)
        tests = self.assigned_work[node][scope]
        tests[nodeid] = True
        if all(tests.values()):
            del self.assigned_work[node][scope]
        self._reschedule(node)

    def remove_node(self, node: Any) -> str | None:
        """Give what a worker that died had not begun to the others; return the test that it died in.

        pytest-xdist 3.8 also gives them that test, and all that it had finished: a worker to which a finished group
        falls has nothing to do, is never asked again, and the run stands still.
        """
        groups = self.assigned_work.pop(node)
        unfinished = [(name, test) for name, tests in groups.items() for test, done in tests.items() if not done]
        if not unfinished:
            return None
        (_, died_in), *rest = unfinished
        for name, test in rest:
            self.workqueue.setdefault(name, {})[test] = False
        for other in self.nodes:
            self._reschedule(other)
        return died_in

    def _reschedule(self, node: Any) -> None:
        super()._reschedule(node)
        # A worker begins a test when it knows the next one; one that has just replaced another would wait for it.
        while self.workqueue and not node.shutting_down and self._pending_of(self.assigned_work[node]) < 2:
            self._assign_work_unit(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> TogetherScheduling:
    """Schedule so."""
    return TogetherScheduling(config, log)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--fast` and `--undated`."""
    parser.addoption("--fast", action="store_true", help="only tests without processes, servers and many examples")
    parser.addoption("--undated", action="store_true", help="leave out the tests that `python -m tests.clock` runs")


def is_dated(item: pytest.Item) -> bool:
    """Whether `python -m tests.clock` runs the test."""
    return (
        item.nodeid.startswith(DATED) and not any(item.iter_markers("process")) and not any(item.iter_markers("slow"))
    )


def is_fast(item: pytest.Item) -> bool:
    """Whether the test needs no server, no process of ours and not many examples."""
    if any(item.iter_markers("process")) or any(item.iter_markers("slow")) or item.nodeid.startswith(WITH_SERVERS):
        return False
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    on_a_server = parameters.get("commands_kind", "fake") != "fake"
    return not on_a_server and SERVERS.isdisjoint(getattr(item, "fixturenames", ()))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with groups, then what starts processes: they take longest, and nobody shall wait for the last one."""
    _check_groups(items)
    if config.getoption("--undated"):
        _leave_out(is_dated, config, items)
    if config.getoption("--fast"):
        _leave_out(lambda item: not is_fast(item), config, items)
    ranks = {group: rank for rank, group in enumerate(dict.fromkeys(TOGETHER.values()))}

    def rank(item: pytest.Item) -> tuple[int, bool]:
        group = TOGETHER.get(item.nodeid.partition("::")[0])
        return ranks.get(group, len(ranks)), item.get_closest_marker("process") is None

    items.sort(key=rank)


def _check_groups(items: list[pytest.Item]) -> None:
    """A file that uses the shared gateway in another worker would start one there: 6 s of CPU."""
    users = {item.nodeid.partition("::")[0] for item in items if "served_gateway" in getattr(item, "fixturenames", ())}
    alone = sorted(file for file in users if TOGETHER.get(file) != "gateway")
    if alone:
        raise pytest.UsageError(f"tests/scheduling.py: add to the group 'gateway': {', '.join(alone)}")


def _leave_out(unwanted: Callable[[pytest.Item], bool], config: pytest.Config, items: list[pytest.Item]) -> None:
    config.hook.pytest_deselected(items=[item for item in items if unwanted(item)])
    items[:] = [item for item in items if not unwanted(item)]
