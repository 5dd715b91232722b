"""`finops tokens`: create, list and delete API tokens, and administer with one."""

import json

import pytest

from cli.commands.tokens import ROLES
from shared.governance.keys.roles import GIVEN_ROLES
from tests.cli.conftest import Finops
from tests.served import Served


def test_the_roles_are_those_of_the_gateway() -> None:
    assert list(ROLES) == [role.value for role in GIVEN_ROLES]


@pytest.mark.process
@pytest.mark.timeout(120)
def test_a_token_is_made_used_and_deleted(finops: Finops, gateway: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINOPS_URL", gateway.url)
    monkeypatch.setenv("FINOPS_DATA_DIR", str(gateway.data_dir))
    made = finops("tokens", "create", "report", "--role", "viewer", "--expires", "1d")
    value, note = made.stdout.strip(), made.stderr
    assert value.startswith("fin-tok_")
    assert "has the role viewer until" in note
    assert value not in note
    token_id = value.removeprefix("fin-")[:20]
    assert token_id in finops("tokens", "list").stdout
    assert token_id in finops("tokens", "list", "--key", value).stdout
    refused = finops("keys", "create", "a", "--key", value)
    assert refused.exit_code == 1
    assert "needs the role admin" in refused.output
    other = json.loads(finops("tokens", "create", "deploy", "--role", "operator", "--json").stdout)
    listed = json.loads(finops("tokens", "list", "--json").stdout)["data"]
    assert {token_id, other["id"]} <= {token["id"] for token in listed}
    assert finops("tokens", "delete", token_id).stdout == f"{token_id} deleted\n"
    assert json.loads(finops("tokens", "delete", other["id"], "--json").stdout)["deleted"] is True
    gone = finops("tokens", "delete", token_id, other["id"])
    assert "Unknown API token id" in gone.output
