from collections.abc import Iterator

import pytest

from tests.served import Served, served

SECRETS = {"FINOPS_ADMIN_KEY": "an-admin-key-of-ones-own-and-long", "MISTRAL_API_KEY": "a-provider-key"}


@pytest.fixture(scope="session")
def hurt_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`finops serve --demo` with secrets, whose processes tests may kill: it starts them again.

    For tests of files that run in one pytest worker.
    """
    with served(tmp_path_factory.mktemp("hurt") / "data", "--demo", **SECRETS) as running:
        yield running
