import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from tests.served import Served

Finops = Callable[..., Result]


@pytest.fixture(autouse=True)
def clean_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No gateway and no provider of this machine's is known, and the default data directory is the test's."""
    for name in list(os.environ):
        if name.startswith(("FINOPS_", "OPENAI_", "ANTHROPIC_", "GEMINI_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def finops() -> Finops:
    """Call `finops` with arguments; a failure that is no exit is raised."""

    def call(*arguments: str, stdin: str | bytes | None = None) -> Result:
        result = CliRunner().invoke(main, list(arguments), input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


@pytest.fixture
def gateway(served_gateway: Served) -> Served:
    """A whole gateway, shared with other tests."""
    return served_gateway


@pytest.fixture
def jobs(gateway: Served, finops: Finops, monkeypatch: pytest.MonkeyPatch) -> Finops:
    """Call `finops jobs` on that gateway."""
    monkeypatch.setenv("FINOPS_URL", gateway.url)
    monkeypatch.setenv("FINOPS_DATA_DIR", str(gateway.data_dir))
    return lambda *arguments, stdin=None: finops("jobs", *arguments, stdin=stdin)


@pytest.fixture
def keys(gateway: Served, finops: Finops, monkeypatch: pytest.MonkeyPatch) -> Finops:
    """Call `finops keys` on that gateway, as its administrator."""
    monkeypatch.setenv("FINOPS_URL", gateway.url)
    monkeypatch.setenv("FINOPS_DATA_DIR", str(gateway.data_dir))
    return lambda *arguments, stdin=None: finops("keys", *arguments, stdin=stdin)
