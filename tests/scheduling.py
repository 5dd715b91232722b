"""Which tests run in one pytest worker, because a gateway that they share would be started again in each other."""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = {
    "tests/cli/test_jobs.py": "gateway",
    "tests/cli/test_keys.py": "gateway",
    "tests/cli/test_usage.py": "gateway",
    "tests/cli/test_ui.py": "gateway",
    "tests/journeys/test_shared_gateway.py": "gateway",
    "tests/sdk_js/test_sdk_js.py": "gateway",
    "tests/browser/test_console.py": "browser",
    "tests/journeys/test_keys.py": "tiers",
    "tests/journeys/test_replacement.py": "replacement",
}


class TogetherScheduling(LoadScopeScheduling):
    """Tests of files that share something go to one worker, each other test to whoever is free.

    (pytest-xdist's own groups are of no effect with pytest 9.2: they are written into an attribute it has not.)
    """

    def _split_scope(self, nodeid: str) -> str:
        return TOGETHER.get(nodeid.partition("::")[0], nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> TogetherScheduling:
    """Schedule so."""
    return TogetherScheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what starts processes: these tests take longest, and nobody shall wait for the last one."""
    items.sort(key=lambda item: item.get_closest_marker("process") is None)
