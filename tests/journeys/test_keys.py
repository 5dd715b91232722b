"""Keys made at run time, on two API processes and a worker that share only the store: changes act within a second."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis as blocking_redis

from cli.supervisor.listening import free_port
from shared.store.embedded import EmbeddedStore
from tests.served import FINOPS, clean_environ
from tests.waiting import wait_until_sync

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

ADMIN_KEY = "journey-admin-key-0123456789abcdef"
UPSTREAM_KEY = "sk-upstream-0123456789abcdef"
WITHIN_S = 1.0
BUSY_S = 5.0  # what a busy machine may add: its speed is not what is tested
CONFIG = """
[auth]
require_virtual_key = true
[providers.sim]
wire = "openai"
base_url = "http://127.0.0.1:{port}/v1"
keys = [{{ value = "{key}" }}]
retry = {{ max_attempts = 1 }}
[prices."sim/*"]
input = 1
output = 2
"""


class Tiers:
    """Two API processes, a worker, an upstream."""

    def __init__(self, apis: list[httpx.Client], upstream: httpx.Client, logs: list[Path], url: str) -> None:
        self.apis = apis
        self.upstream = upstream
        self.logs = logs
        self.redis_url = url

    def administer(self, method: str, path: str, at: int = 0, **body: Any) -> dict[str, Any]:
        request: dict[str, Any] = {"json": body} if body else {}
        headers = {"authorization": f"Bearer {ADMIN_KEY}"}
        answer = self.apis[at].request(method, f"/api/{path}", headers=headers, **request)
        assert answer.status_code < 300, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def ask(self, value: str, model: str = "sim/gpt-4o", at: int = 0) -> httpx.Response:
        return self.apis[at].post("/v1/chat/completions", json=chat(model), headers={"x-bf-vk": value})

    def submit(self, value: str, model: str = "sim/gpt-4o", at: int = 0) -> str:
        path = "/v1/async/chat/completions"
        answer = self.apis[at].post(path, json=chat(model), headers={"x-bf-vk": value})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        return self.administer("GET", f"jobs/{job_id}")

    def asked(self) -> int:
        """How many requests the upstream has begun to answer and not ended."""
        return int(self.upstream.get("/sim/health").json()["open"])

    def everywhere(self, value: str, status: int) -> bool:
        return all(self.ask(value, at=at).status_code == status for at in range(len(self.apis)))


def chat(model: str) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "How much did we spend?"}]}


def soon(predicate: Callable[[], Any]) -> Any:
    """What the contract says of a change: it holds within a second, everywhere."""
    return wait_until_sync(predicate, WITHIN_S + BUSY_S)


@contextmanager
def finops(log: Path, *arguments: str, **environ: str) -> Iterator[None]:
    with log.open("w") as output:
        process = subprocess.Popen([*FINOPS, *arguments], stdout=output, stderr=output, env=clean_environ(**environ))
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture(scope="module")
def tiers(tmp_path_factory: pytest.TempPathFactory, real_store: EmbeddedStore) -> Iterator[Tiers]:
    """One for all tests of this file: each makes keys of its own."""
    tmp_path, redis_url = tmp_path_factory.mktemp("tiers"), real_store.url
    with blocking_redis.Redis.from_url(redis_url) as store:
        store.flushall()
    upstream, *ports = [free_port() for _ in range(3)]
    config = tmp_path / "finops.toml"
    config.write_text(CONFIG.format(port=upstream, key=UPSTREAM_KEY))
    logs = [tmp_path / f"{name}.log" for name in ("simulator", "api-0", "api-1", "worker")]
    shared = ("--config", str(config), "--redis-url", redis_url)
    with ExitStack() as exits:
        exits.enter_context(finops(logs[0], "simulate", "--port", str(upstream)))
        for log, port in zip(logs[1:], ports, strict=False):
            exits.enter_context(finops(log, "api", "--port", str(port), *shared, FINOPS_ADMIN_KEY=ADMIN_KEY))
        exits.enter_context(finops(logs[3], "worker", *shared))
        at_upstream, *apis = [
            exits.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False))
            for port in (upstream, *ports)
        ]
        for api in apis:
            wait_until_sync(lambda api=api: ready(api), 60)
        yield Tiers(apis, at_upstream, logs, redis_url)


def ready(api: httpx.Client) -> bool:
    try:
        return api.get("/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def test_a_key_is_made_rotated_and_revoked_on_one_process_and_the_other_knows(tiers: Tiers) -> None:
    made = tiers.administer("POST", "keys", name="rotated")
    assert tiers.everywhere(made["value"], 200)
    rotated = tiers.administer("POST", f"keys/{made['id']}/rotate", at=1, grace_s=5)
    assert tiers.everywhere(rotated["value"], 200)
    assert tiers.everywhere(made["value"], 200)
    wait_until_sync(lambda: tiers.everywhere(made["value"], 401), 5 + WITHIN_S + BUSY_S)
    assert tiers.everywhere(rotated["value"], 200)
    tiers.administer("POST", f"keys/{made['id']}/revoke")
    soon(lambda: tiers.everywhere(rotated["value"], 403))


def test_limits_and_models_act_everywhere_when_they_are_changed(tiers: Tiers) -> None:
    made = tiers.administer("POST", "keys", name="limited")
    assert tiers.everywhere(made["value"], 200)
    tiers.administer("PATCH", f"keys/{made['id']}", rate_limit={"requests": 1, "window": "rolling:1h"})

    def limited() -> bool:
        return [tiers.ask(made["value"], at=at).status_code for at in (0, 1)] == [429, 429]

    wait_until_sync(limited, 2 * WITHIN_S + BUSY_S)
    tiers.administer("PATCH", f"keys/{made['id']}", at=1, rate_limit=None, models=["sim/gpt-4o*"])
    soon(lambda: tiers.everywhere(made["value"], 200))
    assert [tiers.ask(made["value"], "sim/other", at=at).status_code for at in (0, 1)] == [403, 403]


def test_fallbacks_of_a_key_act_in_the_worker_too(tiers: Tiers) -> None:
    value = tiers.administer("POST", "keys", name="falls-back", fallbacks=["sim/gpt-4o"])["value"]
    assert tiers.ask(value, "sim/broken@status=500").status_code == 200
    job_id = tiers.submit(value, "sim/broken@status=500", at=1)
    done = wait_until_sync(lambda: found if (found := tiers.job(job_id))["status"] == "completed" else None, 20)
    assert done["result"]["model"] == "gpt-4o"


def test_how_many_jobs_of_a_key_run_at_once_is_kept_and_changed(tiers: Tiers) -> None:
    made = tiers.administer("POST", "keys", name="busy", max_concurrent_jobs=1)
    jobs = [tiers.submit(made["value"], "sim/gpt-4o@latency=12", at=at) for at in (0, 1, 0)]

    def running() -> int:
        return [tiers.job(job_id)["status"] for job_id in jobs].count("processing")

    wait_until_sync(tiers.asked)
    assert running() == 1
    tiers.administer("PATCH", f"keys/{made['id']}", at=1, max_concurrent_jobs=2)
    soon(lambda: tiers.asked() == 2)  # a job that is processing may not have been admitted yet
    assert running() == 2
    tiers.administer("POST", f"keys/{made['id']}/revoke", at=1)
    ends = wait_until_sync(lambda: ended(tiers, jobs), 30)
    assert sorted(job["status"] for job in ends) == ["completed", "completed", "failed"]
    [failed] = [job for job in ends if job["status"] == "failed"]
    assert failed["error"]["code"] == "virtual_key_blocked"


def ended(tiers: Tiers, jobs: list[str]) -> list[dict[str, Any]]:
    found = [tiers.job(job_id) for job_id in jobs]
    return found if all(job["status"] in {"completed", "failed"} for job in found) else []


def test_no_secret_is_in_any_log_figure_answer_or_key_of_the_store(tiers: Tiers) -> None:
    made = tiers.administer("POST", "keys", name="secret", budget={"limit_usd": 5})
    rotated = tiers.administer("POST", f"keys/{made['id']}/rotate", grace_s=60)
    secrets = [made["value"], rotated["value"], ADMIN_KEY, UPSTREAM_KEY]
    for value in secrets:
        tiers.ask(value)
        tiers.ask(value, "nowhere/x")
        tiers.apis[0].get("/api/keys", headers={"authorization": f"Bearer {value[:-1]}x"})
    job_id = tiers.submit(rotated["value"])
    wait_until_sync(lambda: ended(tiers, [job_id]), 20)
    tiers.administer("POST", f"keys/{made['id']}/revoke")
    soon(lambda: tiers.ask(made["value"]).status_code == 403)
    wait_until_sync(lambda: job_id in read_ledger(tiers.redis_url), 10)
    paths = ("jobs", f"jobs/{job_id}", "keys", f"keys/{made['id']}", f"keys/{made['id']}/limits", "audit")
    texts = [str(tiers.administer("GET", path)) for path in paths]
    texts += [tiers.apis[1].get(path).text for path in ("/metrics", "/health/ready?verbose")]
    texts += [tiers.ask(value).text for value in (made["value"], rotated["value"], UPSTREAM_KEY)]
    texts += [log.read_text() for log in tiers.logs]
    texts.append(stored(tiers.redis_url))
    for secret in secrets:
        assert not [text for text in texts if secret in text or secret.removeprefix("sk-bf-") in text], secret


def read_ledger(url: str) -> str:
    with blocking_redis.Redis.from_url(url) as client:
        return repr(client.xrange("finops:ledger"))


def stored(url: str) -> str:
    """Everything in the store."""
    reads = {
        b"string": lambda client, name: client.get(name),
        b"hash": lambda client, name: client.hgetall(name),
        b"list": lambda client, name: client.lrange(name, 0, -1),
        b"set": lambda client, name: client.smembers(name),
        b"zset": lambda client, name: client.zrange(name, 0, -1),
        b"stream": lambda client, name: client.xrange(name),
    }
    with blocking_redis.Redis.from_url(url) as client:
        return "".join(f"{name!r} {reads[client.type(name)](client, name)!r}\n" for name in client.scan_iter())
