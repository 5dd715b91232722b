"""The founding examples run as written on `finops serve --demo`, without any provider's key."""

import subprocess
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.chromium import find_chromium
from tests.document import openapi
from tests.journeys.callers import QUESTION, plain_http, sdk
from tests.served import Served, clean_environ

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

SDK_JS = Path(__file__).parents[1] / "sdk_js"
MODELS = (
    "gpt-4o-mini",
    "openai/gpt-4o",
    "anthropic/claude-sonnet-4-5",
    "vertex/gemini-2.5-flash",
    "vertex/claude-sonnet-4-5",
    "vertex/meta/llama-3.3-70b-instruct-maas",
    "azure/gpt-4o",
    "ollama/llama3.1:8b",
)


@pytest.mark.parametrize("model", MODELS)
def test_a_provider_without_a_key_answers_whole_streamed_and_as_a_job(served_gateway: Served, model: str) -> None:
    with sdk(served_gateway) as client:
        answer = client.chat.completions.create(model=model, messages=QUESTION)
        assert answer.choices[0].message.content
        chunks = client.chat.completions.create(model=model, messages=QUESTION, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert job_text(client, model)


def job_text(client: openai.OpenAI, model: str) -> str:
    """Submit and poll as the README does."""
    job = client.chat.completions.create(model=model, messages=QUESTION, extra_headers={"x-bf-async": "true"})
    headers = {"x-bf-async-id": job.id, "x-bf-async-wait": "20"}
    while not (poll := client.chat.completions.create(model=model, messages=QUESTION, extra_headers=headers)).choices:
        pass
    return poll.choices[0].message.content or ""


@pytest.mark.parametrize("model", ["openai/gpt-4o", "anthropic/claude-sonnet-4-5", "vertex/gemini-2.5-flash"])
def test_an_async_response_is_polled_to_its_end(served_gateway: Served, model: str) -> None:
    with sdk(served_gateway) as client:
        job = client.responses.create(model=model, input="Hello", extra_headers={"x-bf-async": "true"})
        headers = {"x-bf-async-id": job.id, "x-bf-async-wait": "20"}
        while job.status in {"queued", "in_progress"}:
            job = client.responses.create(model=model, input="Hello", extra_headers=headers)
        assert job.status == "completed"
        assert job.output_text


def test_five_providers_answer_the_sdk_of_javascript_at_once_and_as_jobs(served_gateway: Served) -> None:
    models = (
        "openai/gpt-4o",
        "anthropic/claude-sonnet-4-5",
        "vertex/gemini-2.5-flash",
        "azure/gpt-4o",
        "ollama/llama3.1:8b",
    )
    environ = clean_environ(GATEWAY_URL=served_gateway.url)
    ended = subprocess.run(
        ["node", "founding.mjs", *models],
        cwd=SDK_JS,
        env=environ,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.stdout.split() == list(models), ended.stderr


def test_every_simulated_provider_lists_its_models(served_gateway: Served) -> None:
    with plain_http(served_gateway) as client:
        listed = {entry["id"].partition("/")[0] for entry in client.get("/openai/v1/models").json()["data"]}
    assert {"sim", "openai", "anthropic", "vertex", "azure", "ollama"} <= listed


def test_the_start_says_what_is_simulated(served_gateway: Served) -> None:
    assert "simulated, free of charge: sim, openai, anthropic, vertex, azure, ollama" in served_gateway.log
    assert served_gateway.ask_simulator("/sim/health")["status"] == "ok"


def example_calls() -> list[Any]:
    """Every inference operation of the OpenAPI document that has an example, on one of its paths."""
    found = {}
    for path, operations in openapi()["paths"].items():
        content = operations.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json", {})
        if "example" in content and not path.startswith(("/openai/v1/", "/v1/", "/genai/v1/", "/genai/v1beta1/")):
            found[path] = content["example"]
    calls = ((path, body) for path, body in found.items() if not path.startswith("/api/") and "_id}" not in path)
    return [pytest.param(path, body, id=path) for path, body in calls]


@pytest.mark.parametrize(("path", "body"), example_calls())
def test_an_example_of_the_api_documentation_runs(served_gateway: Served, path: str, body: dict[str, Any]) -> None:
    path = path.replace("{deployment}", "azure/gpt-4o").replace("{model}", "vertex/gemini-2.5-flash")
    with plain_http(served_gateway) as client:
        answer = client.post(path, json=body)
        assert answer.status_code == 200, answer.text


CHROMIUM = find_chromium()


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_browser_without_the_internet_shows_the_documentation(served_gateway: Served, tmp_path: Path) -> None:
    offline = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    )
    command = [str(CHROMIUM), *offline, f"--user-data-dir={tmp_path}", "--virtual-time-budget=20000", "--dump-dom"]
    shown = subprocess.run(
        [*command, f"{served_gateway.url}/docs"], capture_output=True, text=True, timeout=100, check=True
    ).stdout
    assert 'id="operations-tag-inference"' in shown
    assert 'id="operations-tag-administration"' in shown
    assert "Authorize" in shown
