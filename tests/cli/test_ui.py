"""`finops ui`: a one-time link into the console."""

import json

import click
import httpx
import pytest

from tests.cli.conftest import Finops
from tests.served import Served


@pytest.mark.process
@pytest.mark.timeout(120)
def test_the_link_signs_in_once(gateway: Served, finops: Finops, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINOPS_URL", gateway.url)
    monkeypatch.setenv("FINOPS_DATA_DIR", str(gateway.data_dir))
    opened: list[str] = []
    monkeypatch.setattr(click, "launch", lambda link: opened.append(link) or 1)
    printed = finops("ui")
    assert printed.exit_code == 0
    assert opened == [printed.stdout.strip()]
    assert "open the link yourself" in printed.stderr
    ticket = opened[0].partition("#ticket=")[2]
    with httpx.Client(base_url=gateway.url, trust_env=False, timeout=20) as client:
        assert client.post("/ui/session", json={"ticket": ticket}).json()["session"]["role"] == "admin"
        assert client.get("/api/keys").status_code == 200
        assert client.post("/ui/session", json={"ticket": ticket}).status_code == 401
    assert json.loads(finops("ui", "--json").stdout)["url"].startswith(f"{gateway.url}/ui#ticket=")
    assert finops("ui", "--no-open").exit_code == 0
    assert len(opened) == 1
