"""`finops init`, `chat`, `batches`, `files` and `completion`: what a newcomer tries first."""

import json
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from cli.client.gateway import Gateway, GatewayRequestError
from cli.commands import chat
from cli.views.batches import watch_batch
from cli.views.output import err
from tests.cli.conftest import Finops
from tests.served import Served
from tests.serving import serving

LINE = {"method": "POST", "url": "/v1/chat/completions"}


def test_init_writes_what_the_environment_has(finops: Finops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-0123456789")
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://x.openai.azure.com")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "secret")
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:11434")
    monkeypatch.setenv("FINOPS_ADMIN_KEY", "an-admin-key-0123456789")
    made = finops("init")
    assert made.exit_code == 0
    assert "providers: openai, azure, ollama" in made.stdout
    text = (tmp_path / "finops.toml").read_text()
    assert "sk-secret" not in text
    document = tomllib.loads(text)
    assert document["providers"]["openai"] == {"keys": ["env.OPENAI_API_KEY"]}
    assert document["providers"]["ollama"] == {}
    assert document["auth"] == {"admin_key": "env.FINOPS_ADMIN_KEY"}
    assert finops("config", "check", "--config", "finops.toml").exit_code == 0
    assert "exists; replace it with --force" in finops("init").stderr
    assert finops("init", "--force").exit_code == 0
    assert "cannot write" in finops("init", "--output", "missing/finops.toml").stderr


def test_init_without_any_key_leads_to_the_demo(finops: Finops, tmp_path: Path) -> None:
    made = finops("init")
    assert "finops serve --config finops.toml --demo" in made.stdout
    assert "OPENAI_API_KEY" in (tmp_path / "finops.toml").read_text()
    assert finops("config", "check", "--config", "finops.toml").exit_code == 0


def test_every_commented_line_of_the_configuration_is_accepted(
    finops: Finops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ORDERS_WEBHOOK_SECRET"):
        monkeypatch.setenv(name, "sk-0123456789abcdef")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:6379/0")
    finops("init")
    lines = (tmp_path / "finops.toml").read_text().splitlines()
    settings = [line.removeprefix("# ") if "=" in line or line.startswith("# [") else line for line in lines[3:]]
    (tmp_path / "all.toml").write_text("\n".join(settings))
    checked = finops("config", "check", "--config", "all.toml")
    assert checked.exit_code == 0, checked.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_for_the_shell(finops: Finops, shell: str) -> None:
    script = finops("completion", shell).stdout
    assert "_FINOPS_COMPLETE" in script
    if shell == "bash":
        subprocess.run(["bash", "-n", "-c", script], check=True)


@pytest.mark.process
class TestOnAGateway:
    @pytest.fixture(autouse=True)
    def url(self, gateway: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FINOPS_URL", gateway.url)

    def test_a_question_is_answered(self, finops: Finops) -> None:
        answered = finops("chat", "--message", "How much did we spend?", "--system", "Be brief.")
        assert answered.exit_code == 0
        assert answered.stdout.strip()
        assert finops("chat", "--model", "sim/gpt-4o", stdin="Hello").stdout.strip()
        whole = json.loads(finops("chat", "--message", "Hello", "--json").stdout)
        assert whole["choices"][0]["message"]["content"]

    def test_a_refused_question_is_an_error(self, finops: Finops) -> None:
        refused = finops("chat", "--model", "opnai/gpt-4o", "--message", "Hello")
        assert refused.exit_code == 1
        assert "Did you mean 'openai'?" in refused.stderr
        assert finops("chat", stdin="").exit_code == 2
        cut = finops("chat", "--model", "sim/gpt-4o@cut=2", "--message", "Hello")
        assert cut.exit_code == 1

    def test_a_batch_is_created_watched_and_read(self, finops: Finops, tmp_path: Path) -> None:
        body = {"model": "sim/gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
        lines = [json.dumps({**LINE, "custom_id": str(at), "body": body}) for at in range(3)]
        (tmp_path / "requests.jsonl").write_text("\n".join(lines) + "\n")
        made = finops("batches", "create", "requests.jsonl", "--watch", "--json")
        assert made.exit_code == 0, made.stderr
        batch = json.loads(made.stdout)
        assert batch["request_counts"] == {"total": 3, "completed": 3, "failed": 0}
        assert f"{batch['id']} completed 3/3" in made.stderr
        assert "completed" in finops("batches", "watch", batch["id"]).stdout
        listed = finops("batches", "list", "--provider", "finops")
        assert listed.exit_code == 0, listed.stderr
        printed = finops("batches", "results", batch["id"])
        assert len(printed.stdout.splitlines()) == 3
        assert finops("batches", "results", batch["id"], "--output", "results.jsonl").exit_code == 0
        assert (tmp_path / "results.jsonl").read_text() == printed.stdout
        assert "has no errors" in finops("batches", "results", batch["id"], "--errors").stderr
        assert "cannot write" in finops("batches", "results", batch["id"], "--output", "no/where").stderr
        cancelled = finops("batches", "cancel", batch["id"])
        assert batch["id"] in cancelled.output or cancelled.exit_code == 1

    def test_files_are_uploaded_listed_read_and_deleted(self, finops: Finops, tmp_path: Path) -> None:
        text = json.dumps({**LINE, "custom_id": "1", "body": {"model": "sim/gpt-4o", "messages": []}}) + "\n"
        (tmp_path / "requests.jsonl").write_text(text)
        file_id = finops("files", "upload", "requests.jsonl").stdout.strip()
        assert file_id.startswith("file-")
        assert finops("files", "get", file_id).stdout == text
        assert finops("files", "list", "--provider", "finops").exit_code == 0
        assert finops("files", "delete", file_id).stdout.strip() == f"{file_id} deleted"
        assert finops("files", "get", file_id).exit_code == 1


def test_a_batch_file_needs_an_endpoint(finops: Finops, tmp_path: Path) -> None:
    (tmp_path / "requests.jsonl").write_text("{}\n")
    refused = finops("batches", "create", "requests.jsonl")
    assert refused.exit_code == 2
    assert "pass --endpoint" in refused.stderr


async def test_a_batch_that_fails_is_watched_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.views.batches.FIRST_POLL_S", 0.0)
    states = [
        {"id": "b", "status": "validating"},
        {"id": "b", "status": "validating"},
        {"id": "b", "status": "failed", "errors": {"data": [{"message": "no"}]}},
    ]

    async def fetch() -> dict[str, Any]:
        return states.pop(0)

    assert (await watch_batch(fetch, err()))["status"] == "failed"


def test_pages_of_batches_and_files_are_tables(capsys: pytest.CaptureFixture[str]) -> None:
    from cli.views.batches import print_batch, print_batches, print_files

    counts = {"total": 3, "completed": 1, "failed": 2}
    batch = {
        "id": "batch_1",
        "status": "failed",
        "request_counts": counts,
        "errors": {"data": [{"message": "no room"}]},
    }
    print_batches({"data": [{**batch, "created_at": 1_700_000_000}], "has_more": True, "last_id": "batch_1"})
    print_files({"data": [{"id": "file-1", "filename": "a.jsonl", "bytes": 1500, "created_at": 1_700_000_000}]})
    print_files({"data": []})
    print_batch(batch)
    text = capsys.readouterr().out
    for part in ("batch_1", "more with --after batch_1", "1,500", "no files", "no room"):
        assert part in text


async def test_a_conversation_goes_on_after_a_refusal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = iter(["first", "refused", "second", ""])
    monkeypatch.setattr("builtins.input", lambda prompt: next(questions))
    bodies: list[Any] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        bodies.append(json.loads((await receive())["body"]))
        refused = bodies[-1]["messages"][-1]["content"] == "refused"
        answer = b'data: {"choices": [{"delta": {"content": "yes"}}]}\n\n: comment\n\ndata: [DONE]\n\n'
        body = b'{"error": {"message": "no", "code": "c"}}' if refused else answer
        await send({"type": "http.response.start", "status": 400 if refused else 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async with serving(app) as origin, Gateway(origin) as gateway:
        await chat._converse(gateway, "m", [])
        assert [message["content"] for message in bodies[-1]["messages"]] == ["first", "yes", "second"]
        monkeypatch.setattr("builtins.input", lambda prompt: (_ for _ in ()).throw(EOFError()))
        await chat._converse(gateway, "m", [])
    assert "no (400 c)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("5", "not a JSON object"),
        ("{", "not a JSON object"),
        ('{"error": {"message": "broke"}}', "broke"),
        ('{"error": "x"}', "x"),
    ],
)
async def test_what_a_stream_may_not_hold_is_an_error(data: str, message: str) -> None:
    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": f"data: {data}\n\n".encode()})

    async with serving(app) as origin, Gateway(origin) as gateway:
        with pytest.raises(GatewayRequestError, match=message):
            [event async for event in gateway.stream("/v1/chat/completions", {})]
