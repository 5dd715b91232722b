"""A batch as the users of OpenAI's SDK run one, for a provider that has no Batch API; and what it survives."""

import itertools
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types import Batch

from cli.supervisor.listening import free_port
from tests.served import FINOPS, Served, alive, clean_environ, served
from tests.waiting import wait_until_sync

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

ENDED = {"completed", "failed", "expired", "cancelled"}


@contextmanager
def sdk(gateway: Served) -> Iterator[openai.OpenAI]:
    http = openai.DefaultHttpxClient(trust_env=False)
    with openai.OpenAI(base_url=f"{gateway.url}/openai", api_key="none", http_client=http) as client:
        yield client


def lines(count: int, model: str = "claude/claude-sonnet-4-5") -> bytes:
    """As many chat requests, each with a question of its own."""
    return b"\n".join(
        json.dumps(
            {
                "custom_id": f"request-{number}",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"model": model, "messages": [{"role": "user", "content": f"Question {number}?"}]},
            }
        ).encode()
        for number in range(count)
    )


def run(client: openai.OpenAI, content: bytes, **more: Any) -> Batch:
    file = client.files.create(file=("requests.jsonl", content), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", **more
    )


def wait_for_end(client: openai.OpenAI, batch_id: str, timeout_s: float = 120) -> Batch:
    def ended() -> Batch | None:
        found = client.batches.retrieve(batch_id)
        return found if found.status in ENDED else None

    found: Batch = wait_until_sync(ended, timeout_s)
    return found


def results(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    if file_id is None:
        return []
    return [json.loads(line) for line in client.files.content(file_id).iter_lines()]


@pytest.fixture(scope="module")
def simulator_url() -> Iterator[str]:
    """A simulator of its own."""
    port = free_port()
    command = [*FINOPS, "simulate", "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=clean_environ()) as simulator:
        yield f"http://127.0.0.1:{port}"
        simulator.terminate()


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory, simulator_url: str) -> Iterator[Served]:
    """`finops serve --demo`, whose workers the tests of a module may kill; they look at batches of their own."""
    with gateway_with_claude(tmp_path_factory.mktemp("two"), simulator_url, "--workers", "2") as running:
        yield running


@contextmanager
def gateway_with_claude(tmp_path: Path, simulator_url: str, *arguments: str) -> Iterator[Served]:
    """`finops serve --demo`, with a simulator as a provider that speaks Anthropic's format."""
    config = tmp_path / "finops.toml"
    config.write_text(
        f'[providers.claude]\nwire = "anthropic"\nbase_url = "{simulator_url}"\nkeys = [{{ value = "k-1234" }}]\n'
    )
    with served(tmp_path / "data", "--demo", "--config", str(config), *arguments) as gateway:
        yield gateway


def test_a_batch_for_a_provider_that_has_none(two_workers: Served) -> None:
    with sdk(two_workers) as client:
        batch = run(client, lines(40) + b"\n", metadata={"night": "1"})
        assert (batch.status, batch.metadata) == ("validating", {"night": "1"})
        batch = wait_for_end(client, batch.id)
        assert batch.status == "completed", batch
        assert batch.request_counts is not None
        assert (batch.request_counts.completed, batch.request_counts.total) == (40, 40)
        assert batch.usage is not None
        assert batch.usage.total_tokens > 0
        assert batch.error_file_id is None
        found = results(client, batch.output_file_id)
        assert {line["custom_id"] for line in found} == {f"request-{number}" for number in range(40)}
        assert all(line["response"]["body"]["choices"][0]["message"]["content"] for line in found)
        assert next(iter(client.batches.list())).id == batch.id, "the newest first"
        output, given = itertools.islice(client.files.list(), 2)
        assert (output.purpose, given.filename) == ("batch_output", "requests.jsonl")
        assert client.files.delete(given.id).deleted
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(given.id)


def test_a_batch_outlives_its_workers(two_workers: Served) -> None:
    with sdk(two_workers) as client:
        batch = run(client, lines(300, "claude/claude-sonnet-4-5@latency=1"))
        wait_until_sync(lambda: (client.batches.retrieve(batch.id).request_counts or batch).completed > 0, 30)
        for worker in two_workers.processes("cli worker"):
            os.kill(worker, signal.SIGKILL)
        batch = wait_for_end(client, batch.id)
        found = results(client, batch.output_file_id) + results(client, batch.error_file_id)
    assert batch.status == "completed"
    assert sorted(line["custom_id"] for line in found) == sorted(f"request-{number}" for number in range(300))


def test_a_batch_goes_on_after_everything_was_killed(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with served(data_dir, "--demo") as gateway, sdk(gateway) as client:
        content = lines(200, "sim/gpt-4o@latency=1") + b"\n" + lines(1, "nobody/x").replace(b"request-0", b"other")
        failed = run(client, content)
        batch = run(client, lines(200, "sim/gpt-4o@latency=1"))
        wait_until_sync(lambda: client.batches.retrieve(batch.id).status == "in_progress", 30)
        wait_until_sync(lambda: client.batches.retrieve(failed.id).status == "failed", 30)
        # The store writes its file every second: what was accepted before is there.
        processes = gateway.processes()
        wait_until_sync(lambda: (client.batches.retrieve(batch.id).request_counts or batch).completed > 0, 30)
        assert gateway.stop(signal.SIGKILL) == -signal.SIGKILL
        wait_until_sync(lambda: not alive(processes), timeout_s=40)
    with served(data_dir, "--demo") as gateway, sdk(gateway) as client:
        batch = wait_for_end(client, batch.id)
        found = results(client, batch.output_file_id) + results(client, batch.error_file_id)
        assert batch.status == "completed"
        assert sorted(line["custom_id"] for line in found) == sorted(f"request-{number}" for number in range(200))


def test_a_batch_is_cancelled_on_its_way(two_workers: Served) -> None:
    with sdk(two_workers) as client:
        batch = run(client, lines(400, "sim/gpt-4o@latency=10"))
        wait_until_sync(lambda: client.batches.retrieve(batch.id).status == "in_progress", 30)
        assert client.batches.cancel(batch.id).status in {"cancelling", "cancelled"}
        batch = wait_for_end(client, batch.id)
        assert batch.status == "cancelled"
        found = results(client, batch.output_file_id) + results(client, batch.error_file_id)
        assert len({line["custom_id"] for line in found}) == len(found) == 400
