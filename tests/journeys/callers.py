"""What callers of a whole gateway do in more than one journey."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import openai

from tests.served import MEASURED_FINOPS, Served, clean_environ
from tests.waiting import wait_until_sync

QUESTION: Any = [{"role": "user", "content": "How much did we spend?"}]
CHAT_JOBS = "/v1/async/chat/completions"


@contextmanager
def sdk(gateway: Served) -> Iterator[openai.OpenAI]:
    http = openai.DefaultHttpxClient(trust_env=False)
    with openai.OpenAI(base_url=f"{gateway.url}/openai", api_key="none", http_client=http) as client:
        yield client


@contextmanager
def plain_http(gateway: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway.url, timeout=30, trust_env=False) as client:
        yield client


def submit(client: httpx.Client, model: str) -> str:
    reply = client.post(CHAT_JOBS, json={"model": model, "messages": QUESTION})
    assert reply.status_code == 202, reply.text
    return str(reply.json()["id"])


def envelope(client: httpx.Client, job_id: str, wait_s: float = 0) -> dict[str, Any]:
    headers = {"x-bf-async-wait": str(wait_s)} if wait_s else {}
    found: dict[str, Any] = client.get(f"/v1/async/jobs/{job_id}", headers=headers).json()
    return found


def wait_for_end(client: httpx.Client, job_id: str, timeout_s: float = 90) -> dict[str, Any]:
    """The envelope of a job that has ended, whatever became of the processes meanwhile."""

    def ended() -> dict[str, Any] | None:
        found = envelope(client, job_id, wait_s=5)
        return found if found["status"] in {"completed", "failed", "cancelled"} else None

    found: dict[str, Any] = wait_until_sync(ended, timeout_s)
    return found


def hang_once(gateway: Served, model: str) -> None:
    """Let the simulator not answer the next call of a model, and all further ones at once."""
    rule = {"match": {"model": model}, "behaviour": {"hang": True}, "times": 1}
    gateway.ask_simulator("/sim/script", rule)


def upstream_calls(gateway: Served, count: str = "total") -> int:
    """How many calls the simulator has received; `open`: how many of them it has not ended."""
    return int(gateway.ask_simulator("/sim/health")[count])


def submit_hanging(gateway: Served, client: httpx.Client, model: str) -> str:
    """Submit a job whose first call gets no answer, and wait until the simulator has that call."""
    hang_once(gateway, model)
    job_id = submit(client, f"sim/{model}")
    wait_until_sync(lambda: upstream_calls(gateway, "open") == 1, 60)
    return job_id


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*MEASURED_FINOPS, *arguments], capture_output=True, text=True, timeout=90, env=clean_environ(), check=False
    )
