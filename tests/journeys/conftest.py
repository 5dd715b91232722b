from collections.abc import Iterator

import pytest

from tests.served import Served, served


@pytest.fixture(scope="module")
def hurt_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`finops serve --demo`, whose processes the tests of a module may kill: it starts them again."""
    with served(tmp_path_factory.mktemp("hurt") / "data", "--demo") as running:
        yield running
