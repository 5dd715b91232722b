import pytest

from shared.jobs.scripts import engine_scripts


@pytest.fixture(autouse=True)
def scripts() -> None:
    """A process reads its scripts before its loop runs; so do these tests."""
    engine_scripts()
