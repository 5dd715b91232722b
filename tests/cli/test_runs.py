"""`finops runs`: list and show runs."""

import json

import httpx
import pytest

from cli.views.runs import print_runs
from tests.cli.conftest import Finops
from tests.served import Served

RUN = {"id": "agent-7", "team": "web", "key": None, "budget_usd": 0.5, "spent_usd": 0.25, "reserved_usd": 0.0}


@pytest.mark.process
@pytest.mark.timeout(120)
def test_runs_are_listed_and_shown(keys: Finops, finops: Finops, gateway: Served) -> None:
    value = keys("create", "agents").stdout.strip()
    body = {"model": "sim/gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
    headers = {"x-bf-vk": value, "x-bf-run-id": "agent-7"}
    url = f"{gateway.url}/v1/chat/completions"
    assert httpx.post(url, json=body, headers=headers, trust_env=False, timeout=20).status_code == 200
    listed = finops("runs", "list", "--url", gateway.url)
    assert "agent-7" in listed.stdout
    first = json.loads(finops("runs", "list", "--json", "--limit", "1", "--url", gateway.url).stdout)["data"][0]
    assert (first["id"], first["calls"]) == ("agent-7", 1)
    shown = finops("runs", "show", "agent-7", "--key", value, "--url", gateway.url)
    assert "agent-7" in shown.stdout
    document = json.loads(finops("runs", "show", "agent-7", "--key", value, "--json", "--url", gateway.url).stdout)
    assert document["budget_usd"] is None
    assert "Unknown run" in finops("runs", "show", "nobody", "--key", value, "--url", gateway.url).stderr


def test_a_page_of_runs_names_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    print_runs({"data": []})
    assert capsys.readouterr().out.strip() == "no runs"
    print_runs({"data": [RUN], "has_more": True, "last_id": "team~3Aweb:agent-7"})
    printed = capsys.readouterr().out
    assert "$0.5" in printed
    assert "more with --after team~3Aweb:agent-7" in printed
