"""Four APIs and four workers, each a process, on one store: hammered at once from all sides."""

import asyncio
import json
import signal
import socket
import subprocess
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson

from shared.store.multiplexed import MultiplexedClient
from tests.served import FINOPS, clean_environ
from tests.waiting import wait_until

PATH = "/openai/chat/completions"
MODEL = "sim/gpt-4o@latency=0.02,tokens=10"
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 20}
# What one call may cost at most, in micro-USD by the prices below: its bytes as tokens, and all its output.
ESTIMATE = (len(orjson.dumps({**BODY, "stream": True})) // 4 + 1) + 20 * 10
TOKENS = ESTIMATE - 20 * 9
RESERVATION_TTL_S = 6.0
CONFIG = """
[redis]
url = "{redis}"
[auth]
admin_key = "an-admin-key-for-the-hammer"
[jobs]
lease_s = 2
[log]
level = "warning"
requests = false
[ledger]
reservation_s = {reservation_ttl_s}
anomaly_check_s = 1
[prices."sim/*"]
input = 1
output = 10
[providers.sim]
wire = "openai"
base_url = "{upstream}"
retry = {{ max_attempts = 1 }}
"""


class Fleet:
    """The processes, and who speaks to them.

    Attributes:
        apis: A process and a client for each.
        workers: The processes.
    """

    def __init__(self, folder: Path, redis_url: str, upstream: str, keys: dict[str, str], more: str = "") -> None:
        self.store = MultiplexedClient(redis_url)
        self._config = folder / "finops.toml"
        config = CONFIG.format(redis=redis_url, upstream=upstream, reservation_ttl_s=RESERVATION_TTL_S)
        self._config.write_text(
            config + more + "".join(f'[virtual_keys.{name}]\nvalue = "{name}"\n{key}\n' for name, key in keys.items())
        )
        self._log = (folder / "fleet.log").open("w")
        self.apis: list[tuple[subprocess.Popen[bytes], httpx.AsyncClient]] = []
        self.workers: list[subprocess.Popen[bytes]] = []

    def start(self, count: int, workers: int) -> None:
        for _ in range(count):
            with socket.create_server(("127.0.0.1", 0)) as guard:
                process = self._run("api", "--fd", str(guard.fileno()), pass_fds=[guard.fileno()])
                url = f"http://127.0.0.1:{guard.getsockname()[1]}"
            limits = httpx.Limits(max_connections=16)
            client = httpx.AsyncClient(base_url=url, timeout=120, trust_env=False, limits=limits)
            self.apis.append((process, client))
        self.workers += [self._run("worker") for _ in range(workers)]

    def _run(self, *arguments: str, **more: Any) -> "subprocess.Popen[bytes]":
        command = [*FINOPS, *arguments, "--config", str(self._config)]
        return subprocess.Popen(command, env=clean_environ(), stdout=self._log, stderr=self._log, **more)

    async def stop(self) -> None:
        processes = [*(api for api, _ in self.apis), *self.workers]
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(process.wait, 20)
            process.kill()
            process.wait()
        for _, client in self.apis:
            await client.aclose()
        await self.store.aclose()
        self._log.close()

    def kill_one_of_each(self) -> None:
        """kill -9: what they had in hand is nobody's."""
        self.apis[0][0].kill()
        self.workers[0].kill()

    async def workers_alive(self) -> int:
        return len(await self.store.execute("KEYS", "arq:queue:health-check:*"))

    async def ledger(self) -> list[dict[str, Any]]:
        return [json.loads(fields[1]) for _, fields in await self.store.execute("XRANGE", "finops:ledger", "-", "+")]

    async def meter(self, kind: str, key: str) -> tuple[int, int]:
        """Used and held, slices added up."""
        used = held = 0
        for name in await self.store.execute("KEYS", f"finops:meter:{kind}:key:{key}:*"):
            fields = await self.store.execute("HGETALL", name)
            for at in range(0, len(fields), 2):
                amount = int(fields[at + 1])
                used, held = (used + amount, held) if fields[at][:1] == b"u" else (used, held + amount)
        return used, held

    async def run(self, owner: str, run_id: str) -> tuple[int, int]:
        """Used and held of a run."""
        used, held = await self.store.execute("HMGET", f"finops:run:{owner}:{run_id}", "u", "h")
        return int(used or 0), int(held or 0)

    async def rollups(self, kind: str) -> Counter[str]:
        """Costs by key, of the hours or of the days."""
        sums: Counter[str] = Counter()
        for name in await self.store.execute("KEYS", f"finops:usage:{kind}:*"):
            if name.endswith(b":groups"):  # how many groups each key added
                continue
            fields = await self.store.execute("HGETALL", name)
            for group, amounts in zip(fields[::2], fields[1::2], strict=True):
                sums[group.split(b"\x1f")[0].decode()] += int(amounts.split(b",")[7])
        return sums


@asynccontextmanager
async def fleet(
    folder: Path,
    redis_url: str,
    upstream: str,
    keys: dict[str, str],
    count: int,
    *,
    workers: int | None = None,
    more: str = "",
) -> AsyncIterator[Fleet]:
    """Start so many of each and wait until they serve; afterwards they are gone.

    Args:
        workers: How many workers, if not as many as APIs.
        more: Further tables of the configuration.
    """
    running = Fleet(folder, redis_url, upstream, keys, more)
    workers = count if workers is None else workers
    try:
        running.start(count, workers)
        for _, client in running.apis:
            assert (await client.get("/health/live")).status_code == 200

        async def all_there() -> bool:
            return await running.workers_alive() == workers

        await wait_until(all_there, 120)
        yield running
    finally:
        await running.stop()


@dataclass
class Seen:
    """What callers saw: by request id its status (0: nobody knows, 499: given up), by job id its request id."""

    statuses: dict[str, int] = field(default_factory=dict)
    jobs: dict[str, str] = field(default_factory=dict)
    apis: dict[str, int] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    def passed(self, key: str) -> int:
        """Calls of the key that certainly passed."""
        return sum(self.statuses[name] in {200, 499} for name, whose in self.keys.items() if whose == key)


class Hammer:
    """Calls of some keys in every way, from many callers at once."""

    def __init__(self, fleet: Fleet, keys: Iterable[str]) -> None:
        self.fleet = fleet
        self.keys = tuple(keys)
        self.seen = Seen()
        self.most: Counter[str] = Counter()

    async def strike(self, rounds: int, callers: int, midway: Callable[[], None] | None = None) -> None:
        """Calls of every key and every way, so many times, by so many at a time; the meters are watched meanwhile.

        Args:
            midway: Called when half of the calls have been begun.
        """
        work = [(key, way) for _ in range(rounds) for key in self.keys for way in ("whole", "stream", "leave", "job")]
        numbered = iter(enumerate(work))

        async def caller() -> None:
            for number, (key, way) in numbered:
                if midway is not None and number == len(work) // 2:
                    midway()
                await self._call(number % len(self.fleet.apis), key, way)

        watch = asyncio.create_task(self._watch())
        await asyncio.gather(*(caller() for _ in range(callers)))
        watch.cancel()
        await asyncio.wait([watch])

    async def _watch(self) -> None:
        while True:
            for key in self.keys:
                for kind in ("cost", "tokens"):
                    self.most[f"{kind}:{key}"] = max(self.most[f"{kind}:{key}"], sum(await self.fleet.meter(kind, key)))

    async def _call(self, api: int, key: str, way: str) -> None:
        name = f"{way}-{uuid.uuid4().hex}"
        self.seen.statuses[name], self.seen.apis[name], self.seen.keys[name] = 0, api, key
        headers = {"x-bf-vk": key, "x-request-id": name}
        client = self.fleet.apis[api][1]
        with suppress(httpx.TransportError):
            if way in {"stream", "leave"}:
                self.seen.statuses[name] = await _stream(client, headers, leave=way == "leave")
                return
            more = {"x-bf-async": "true"} if way == "job" else {}
            answer = await client.post(PATH, json=BODY, headers={**headers, **more})
            self.seen.statuses[name] = answer.status_code
            if way == "job" and answer.status_code == 200:
                self.seen.jobs[answer.headers["x-bf-async-id"]] = name


async def _stream(client: httpx.AsyncClient, headers: dict[str, str], *, leave: bool) -> int:
    async with client.stream("POST", PATH, json={**BODY, "stream": True}, headers=headers) as answer:
        if answer.status_code != 200:
            return answer.status_code
        async for _ in answer.aiter_bytes():
            if leave:
                return 499
    return 200
