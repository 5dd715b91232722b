"""What a person sees on a terminal of 80 columns, and the keys and ids that commands find by themselves."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli.admin_key import configured_admin_key
from cli.client.gateway import Gateway, GatewayRequestError
from cli.client.options import credentials
from cli.views.job_progress import WatchedJob
from cli.views.jobs import print_list
from cli.views.output import fitted, short_ids
from tests.cli.conftest import Finops
from tests.serving import serving


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal of 80 columns without colours."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    return Terminal()


def listed(*ids: str) -> dict[str, Any]:
    job = {"request_type": "chat.completions", "model": "anthropic/claude-sonnet-4-5-20250929", "status": "processing"}
    times = {"created_at": "2026-01-01T00:00:00Z", "started_at": "2026-01-01T00:00:01Z", "attempts": 1}
    return {"data": [{"id": each, **job, **times} for each in ids], "has_more": True, "last_id": ids[-1]}


def test_a_list_of_jobs_fits_a_terminal(terminal: Terminal) -> None:
    with redirect_stdout(terminal):
        print_list(listed("5f0c1a2b-0000-4000-8000-000000000001", "77ab1a2b-0000-4000-8000-000000000002"))
    lines = terminal.getvalue().splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["5f0c1a2b", "77ab1a2b"]
    assert max(map(len, lines[:3])) <= 80
    assert "attempts" not in lines[0]
    assert "processing" in lines[1]
    assert "77ab1a2b-0000-4000-8000-000000000002" in lines[-1]


def test_a_wide_list_has_everything(terminal: Terminal) -> None:
    with redirect_stdout(terminal):
        print_list(listed("5f0c1a2b-0000-4000-8000-000000000001"), wide=True)
    head, row = terminal.getvalue().splitlines()[:2]
    assert head.split() == ["id", "type", "model", "status", "age", "run", "attempts"]
    assert row.startswith("5f0c1a2b-0000-4000-8000-000000000001")


def test_columns_are_left_out_in_order_until_the_table_fits() -> None:
    console = Console(file=io.StringIO(), width=14)
    fit = fitted(("a", "b", "c"), [("aaaa", "bbbb", "cccc")], console, ("b", "c"))
    assert [column.header for column in fit.columns] == ["a", "c"]
    fit = fitted(("a", "b", "c"), [("aaaa", "bbbb", "c")], console, ("b", "c"))
    assert [column.header for column in fit.columns] == ["a", "b", "c"]
    fit = fitted(("a", "b", "c"), [("a" * 40, "bbbb", "c")], console, ("b",))
    assert [column.header for column in fit.columns] == ["a", "c"]


def test_short_ids_are_unique_in_their_list(terminal: Terminal) -> None:
    console = Console(file=terminal)
    assert short_ids(["abcdefghij", "abcdefghik"], console) == ["abcdefghij", "abcdefghik"]
    assert short_ids(["abcdefgh-1", "bbcdefgh-2"], console) == ["abcdefgh", "bbcdefgh"]
    assert short_ids(["abcdefgh-1"], Console(file=io.StringIO())) == ["abcdefgh-1"]


@pytest.mark.parametrize(
    ("envelope", "mark", "style", "elapsed"),
    [
        ({"status": "completed", "started_at": "2026-01-01T00:00:00Z"}, "\N{CHECK MARK}", "green", "3.0 s"),
        ({"status": "failed", "started_at": "2026-01-01T00:00:00Z"}, "\N{BALLOT X}", "red", "3.0 s"),
        ({"status": "cancelled"}, "\N{BALLOT X}", "red", "not run"),
    ],
)
def test_an_ended_job_is_marked_by_its_outcome_and_has_its_own_duration(
    envelope: dict[str, Any], mark: str, style: str, elapsed: str
) -> None:
    job = WatchedJob("1")
    job.update({**envelope, "completed_at": "2026-01-01T00:00:03Z"})
    assert (str(job.mark()), job.mark().style, job.elapsed()) == (mark, style, elapsed)


def test_the_admin_key_of_the_environment_or_its_file_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = "http://127.0.0.1:8080"
    (tmp_path / "admin.key").write_text("of-the-directory\n")
    assert credentials(local, None, tmp_path) == "of-the-directory"
    monkeypatch.setenv("FINOPS_ADMIN_KEY", "of-the-environment")
    assert credentials(local, None, tmp_path) == "of-the-environment"
    assert credentials("http://elsewhere.example", None, tmp_path) == ""
    assert credentials(local, "given", tmp_path) == "given"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[auth]\nadmin_key = "plain"\n', "plain"),
        ('[auth]\nadmin_key = "env.MY_KEY"\n', "referred"),
        ('[auth]\nadmin_key = "env.UNSET"\n', None),
        ("[auth]\nadmin_key = 5\n", None),
        ("auth = 5\n", None),
        ("[jobs]\n", None),
        ("not toml", None),
    ],
)
def test_the_admin_key_of_a_file_is_read_alone(text: str, expected: str | None, tmp_path: Path) -> None:
    file = tmp_path / "finops.toml"
    file.write_text(text)
    assert configured_admin_key({"FINOPS_CONFIG": str(file), "MY_KEY": "referred"}) == expected
    assert configured_admin_key({"FINOPS_CONFIG": str(tmp_path / "missing")}) is None
    assert configured_admin_key({}) is None


@pytest.mark.process
def test_a_refused_key_says_where_keys_come_from(jobs: Finops, finops: Finops, tmp_path: Path) -> None:
    refused = jobs("list", "--dead", "--key", "some-key")
    assert "The key that was sent is not accepted" in refused.stderr
    missing = finops("keys", "list", "--data-dir", str(tmp_path / "none"))
    assert "No key was sent" in missing.stderr
    for way in ("--key", "FINOPS_KEY", "FINOPS_ADMIN_KEY", "--data-dir"):
        assert way in missing.stderr


@pytest.mark.process
def test_the_first_characters_of_an_id_are_enough(jobs: Finops) -> None:
    job_id = jobs("submit", "--model", "sim/gpt-4o", "--message", "Hello").stdout.strip()
    assert json.loads(jobs("wait", job_id[:13], "--json").stdout)["id"] == job_id
    assert json.loads(jobs("get", job_id[:13], "--json").stdout)["id"] == job_id
    assert jobs("get", "zzzz").exit_code == 1


@pytest.mark.process
def test_a_key_is_found_by_its_name(keys: Finops) -> None:
    first = json.loads(keys("create", "twice", "--json").stdout)["id"]
    assert json.loads(keys("show", "twice", "--json").stdout)["id"] == first
    assert json.loads(keys("change", "twice", "--weight", "2", "--json").stdout)["id"] == first
    assert json.loads(keys("rotate", "twice", "--json").stdout)["id"] == first
    second = json.loads(keys("create", "twice", "--json").stdout)["id"]
    refused = keys("show", "twice")
    assert refused.exit_code == 1
    assert f"2 keys are named 'twice': {first}, {second}" in refused.stderr
    keys("revoke", first)
    assert json.loads(keys("revoke", "twice", "--json").stdout)["id"] == second, "an active key before a revoked one"


async def test_ids_that_begin_alike_are_listed() -> None:
    pages = {b"": ["abcd1", "abcd2"], b"abcd2": ["abcd3", "zzzz"]}

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        after = scope["query_string"].partition(b"after=")[2]
        ids = pages[after]
        page = {"data": [{"id": each} for each in ids], "has_more": not after, "last_id": ids[-1]}
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(page).encode()})

    async with serving(app) as origin, Gateway(origin) as gateway:
        assert await gateway.job_id("zzz") == "zzz", "too short to look for"
        assert await gateway.job_id("abcd1") == "abcd1"
        assert await gateway.key_id("zzzz") == "zzzz"
        with pytest.raises(GatewayRequestError, match="3 jobs begin with 'abcd': abcd1, abcd2, abcd3"):
            await gateway.job_id("abcd")
