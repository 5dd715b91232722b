from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.served import Served, served


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Served]:
    """`finops serve --demo`, in a data directory of this test."""
    with served(tmp_path / "data", "--demo") as running:
        yield running
