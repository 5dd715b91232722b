"""Whatever callers do at once, limits hold at every moment, and ledger, counters and providers agree in the end.

Two gateways on one store; what kills processes is in ``tests/journeys/test_hammer.py``.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from simulator.serve import RunningSimulator
from tests.api import batch_work, provider_batch_work
from tests.api.conftest import ADMIN_KEY, Gateway, Start
from tests.waiting import wait_until

ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}
OUTPUT, MOST_OUTPUT = (5, 10, 20), 20
# Micro-USD, at 1 a prompt token and 10 an output token; the prompt is estimated from its bytes.
ESTIMATE, TOKENS, PROMPT = 300, 120, 6
TEAM, PROVIDER, MODEL, CUSTOMER, USER_TOKENS = 2_500, 2_000, 3_000, 800, 400
WAYS = (
    "whole",
    "stream",
    "leave",
    "abandon",
    "job",
    "cancel",
    "retry",
    "fallback",
    "fail",
    "own_batch",
    "provider_batch",
)
PRICE = {"input": 1, "output": 10, "batch_discount": 0.5}
CONFIG: dict[str, Any] = {
    "prices": {"sim/*": PRICE, "openai/*": PRICE},
    "fallbacks": {f"sim/down@status=500,tokens={n}": [f"openai/gpt@tokens={n}"] for n in OUTPUT},
    "teams": {"t": {"budget": {"limit_usd": TEAM / 1e6, "window": "rolling:1d"}}},
    "models": {"sim/gpt*": {"budget": {"limit_usd": MODEL / 1e6, "window": "1M"}}},
    "limits": {
        "dimension:customer": {"each": {"budget": {"limit_usd": CUSTOMER / 1e6, "window": "1d"}}},
        "user": {"each": {"rate_limit": {"tokens": USER_TOKENS, "window": "rolling:1d"}}},
    },
}
FIXED = {
    ("cost", "team:t"): TEAM,
    ("cost", "provider:openai"): PROVIDER,
    ("cost", "model:sim/gpt*"): MODEL,
    ("cost", "dimension:customer:"): CUSTOMER,
    ("tokens", "user:"): USER_TOKENS,
}


@dataclass(frozen=True)
class Action:
    """Something that a caller does."""

    way: str
    key: int
    gateway: int
    output: int
    run: bool
    customer: str
    user: str


ACTIONS = st.builds(
    Action,
    way=st.sampled_from(WAYS),
    key=st.integers(0, 1),
    gateway=st.integers(0, 1),
    output=st.sampled_from(OUTPUT),
    run=st.booleans(),
    customer=st.sampled_from(("", "acme", "globex")),
    user=st.sampled_from(("", "", "ann")),
)


@dataclass
class World:
    """The gateways, the keys of one example, and what was accepted."""

    gateways: list[Gateway]
    run_budget: int
    keys: list[str] = field(default_factory=list)
    limits: dict[tuple[str, str], int] = field(default_factory=dict)
    own_batches: list[str] = field(default_factory=list)
    lines_at_provider: list[int] = field(default_factory=list)

    async def add_key(self, **rules: Any) -> str:
        answer = await self.gateways[0].http.post("/api/keys", json=rules, headers=ADMIN)
        assert answer.status_code in {200, 201}, answer.text
        key: dict[str, Any] = answer.json()
        self.keys.append(key["value"])
        return str(key["id"])

    async def act(self, action: Action, number: int) -> None:
        gateway = self.gateways[action.gateway]
        status = await getattr(self, f"_{action.way}")(gateway, action, number)
        assert status in {200, 402, 429, 499, 500, 503}, (action, status)

    def _headers(self, action: Action, **more: str) -> dict[str, str]:
        run = {"x-bf-run-id": "r", "x-bf-run-budget-usd": f"{self.run_budget / 1e6:f}"} if action.run else {}
        customer = {"x-bf-dim-customer": action.customer} if action.customer else {}
        return {"x-bf-vk": self.keys[action.key], **run, **customer, **more}

    async def _ask(self, gateway: Gateway, action: Action, model: str = "sim/gpt", **headers: str) -> httpx.Response:
        body = {**_body(action, model)}
        return await gateway.post("/openai/chat/completions", body, headers=self._headers(action, **headers))

    async def _whole(self, gateway: Gateway, action: Action, number: int) -> int:
        return (await self._ask(gateway, action)).status_code

    async def _retry(self, gateway: Gateway, action: Action, number: int) -> int:
        return (await self._ask(gateway, action, f"sim/flaky{number}@status=500,times=1")).status_code

    async def _fallback(self, gateway: Gateway, action: Action, number: int) -> int:
        return (await self._ask(gateway, action, "sim/down@status=500")).status_code

    async def _fail(self, gateway: Gateway, action: Action, number: int) -> int:
        return (await self._ask(gateway, action, "sim/gpt@status=500")).status_code

    async def _stream(self, gateway: Gateway, action: Action, number: int) -> int:
        return await self._read(gateway, action, leave=False)

    async def _leave(self, gateway: Gateway, action: Action, number: int) -> int:
        return await self._read(gateway, action, leave=True)

    async def _abandon(self, gateway: Gateway, action: Action, number: int) -> int:
        """Hang up before the answer, most of the time; wherever the call is by then, it is booked as it should be."""
        try:
            asked = self._ask(gateway, action, "sim/gpt@latency=0.02")
            return (await asyncio.wait_for(asked, number % 5 / 200)).status_code
        except TimeoutError:
            return 499

    async def _read(self, gateway: Gateway, action: Action, *, leave: bool) -> int:
        body = {**_body(action, "sim/gpt@latency=0.001"), "stream": True}
        asked = gateway.http.stream("POST", "/openai/chat/completions", json=body, headers=self._headers(action))
        async with asked as answer:
            async for _ in answer.aiter_bytes():
                if leave:
                    return 499
            return answer.status_code

    async def _job(self, gateway: Gateway, action: Action, number: int) -> int:
        answer = await self._ask(gateway, action, **{"x-bf-async": "true"})
        if number % 2:
            await gateway.worker.work_off()
        return answer.status_code

    async def _cancel(self, gateway: Gateway, action: Action, number: int) -> int:
        answer = await self._ask(gateway, action, **{"x-bf-async": "true"})
        if answer.status_code == 200:
            path = f"/v1/async/jobs/{answer.headers['x-bf-async-id']}/cancel"
            await gateway.post(path, headers=self._headers(action))
        return answer.status_code

    async def _own_batch(self, gateway: Gateway, action: Action, number: int) -> int:
        # Of the key without a limit of requests, whose lines would wait for tomorrow.
        model = f"sim/gpt@tokens={action.output}"
        content = "\n".join(batch_work.line(name, model, max_tokens=MOST_OUTPUT) for name in "ab")
        self.own_batches.append((await batch_work.create(gateway, content, self.keys[0]))["id"])
        return 200

    async def _provider_batch(self, gateway: Gateway, action: Action, number: int) -> int:
        headers = self._headers(action, **{"x-bf-provider": "sim"})
        lines = [_line(name, action.output) for name in "ab"]
        file = await gateway.http.post(
            "/v1/files", files={"file": ("a.jsonl", "\n".join(lines))}, data={"purpose": "batch"}, headers=headers
        )
        if file.status_code != 200:
            return file.status_code
        answer = await provider_batch_work.create(gateway, file.json()["id"], headers)
        if answer.status_code == 200:
            self.lines_at_provider += [action.output] * len(lines)
        return answer.status_code

    async def work_off(self) -> None:
        """Do what workers do until nothing is left, and book everything."""
        for gateway in self.gateways:
            await gateway.worker.work_off()
            await provider_batch_work.follow_to_the_end(gateway)
        for batch_id in self.own_batches:
            await batch_work.work_off(self.gateways[0], batch_id)

        async def nothing_reserved() -> bool:
            for gateway in self.gateways:
                await provider_batch_work.entries(gateway)
            return await self.store("ZCARD", "finops:holds") == 0

        await wait_until(nothing_reserved, 30)

    async def store(self, *command: str | int) -> Any:
        return await self.gateways[0].services.commands.execute(*command)

    async def meters(self) -> dict[str, tuple[int, int]]:
        """Used and held by the meters' keys, slices added up."""
        found = {}
        for pattern in ("finops:meter:*", "finops:run:*"):
            for name in await self.store("KEYS", pattern):
                found[name.decode()] = _sum_up(await self.store("HGETALL", name))
        return found

    async def nothing_passes(self) -> None:
        """Hold every meter against its limit and one estimate; requests are counted exactly."""
        for name, (used, held) in (await self.meters()).items():
            kind, scope = ("cost", name[7:]) if name.startswith("finops:run:") else name[13:].split(":", 1)
            limit = next((n for (of, start), n in self.limits.items() if of == kind and scope.startswith(start)), None)
            if limit is not None:
                spare = {"cost": ESTIMATE, "tokens": TOKENS, "requests": 1}[kind]
                assert used + held < limit + spare, (name, used, held, limit)

    async def everything_agrees(self, sim: RunningSimulator, prompt: int) -> None:
        """Nothing is reserved; ledger, counters and what the provider reported have the same sums."""
        ledger = await provider_batch_work.entries(self.gateways[0])
        meters = await self.meters()
        assert {name: held for name, (_, held) in meters.items() if held} == {}
        for scope, belongs in (
            *((f"key:{key}", {"key": key}) for key in {entry["key"] for entry in ledger}),
            ("team:t", {"team": "t"}),
            ("provider:openai", {"provider": "openai"}),
        ):
            booked = sum(entry.get("cost", 0) for entry in ledger if belongs.items() <= entry.items())
            used = [used for name, (used, _) in meters.items() if name.startswith(f"finops:meter:cost:{scope}:")]
            assert sum(used) == booked, scope
        # Only a job that is cancelled as it runs is charged its reservation: what callers leave is read on.
        assert all(entry.get("job") for entry in ledger if "estimated" in entry)
        counted = sum(entry.get("cost", 0) for entry in ledger if "estimated" not in entry)
        uncounted = sum(prompt + 10 * _output(entry["model"]) for entry in ledger if "estimated" in entry)
        batched = sum((prompt + 10 * output + 1) // 2 for output in self.lines_at_provider)
        at_provider = batched + sum(prompt + 10 * output for output in _answered(sim))
        assert counted <= at_provider <= counted + uncounted


def _body(action: Action, model: str) -> dict[str, Any]:
    user = {"user": action.user} if action.user else {}
    named = f"{model}{',' if '@' in model else '@'}tokens={action.output}"
    message = {"role": "user", "content": "hello"}
    return {"model": named, "messages": [message], "max_tokens": MOST_OUTPUT, **user}


def _line(name: str, output: int) -> str:
    return batch_work.line(name, f"gpt@tokens={output}", max_tokens=MOST_OUTPUT)


def _answered(sim: RunningSimulator) -> Iterator[int]:
    """The output tokens that the provider counted of each call that it answered."""
    for entry in sim.requests:
        if entry.path.endswith("/chat/completions") and entry.status == 200 and isinstance(entry.body, Mapping):
            yield _output(str(entry.body["model"]))


def _output(model: str) -> int:
    return int(model.rpartition("tokens=")[2])


def _sum_up(fields: list[bytes]) -> tuple[int, int]:
    used = held = 0
    for name, value in zip(fields[::2], fields[1::2], strict=True):
        if name[:1] == b"u" and name != b"used_ms":
            used += int(value)
        elif name[:1] == b"h":
            held += int(value)
    return used, held


@pytest.fixture
async def gateways(start: Start, sim: RunningSimulator) -> list[Gateway]:
    """Two gateways on one store."""
    provider = {"wire": "openai", "base_url": sim.base_url, "keys": [{"value": "sk-upstream-key-0123456789"}]}
    sturdy = {**provider, "retry": {"max_attempts": 2, "backoff_initial_s": 0}}
    openai = {**sturdy, "budget": {"limit_usd": PROVIDER / 1e6, "window": "1d"}}
    config = {**CONFIG, "providers": {"sim": sturdy, "openai": openai}}
    return [await start(**config), await start(**config)]


@settings(
    max_examples=4, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(
    actions=st.lists(ACTIONS, min_size=15, max_size=25),
    budget=st.integers(300, 3_000),
    requests=st.integers(3, 25),
    run_budget=st.integers(100, 2_000),
    window=st.sampled_from(("1d", "rolling:1d", "1M")),
)
async def test_limits_hold_whatever_callers_do(
    gateways: list[Gateway],
    sim: RunningSimulator,
    actions: list[Action],
    budget: int,
    requests: int,
    run_budget: int,
    window: str,
) -> None:
    world = World(gateways, run_budget)
    await world.store("FLUSHALL")
    sim.log.clear()
    first = await world.add_key(name="first", team="t", budget={"limit_usd": budget / 1e6, "window": window})
    rates = {"requests": requests, "window": "rolling:1d"}
    second = await world.add_key(name="second", team="t", budget={"limit_usd": 1}, rate_limit=rates)
    world.limits = {
        **FIXED,
        ("cost", f"key:{first}"): budget,
        ("requests", f"key:{second}"): requests,
        ("cost", "run:team~3At:r"): run_budget,
    }
    numbered = iter(enumerate(actions))

    async def caller() -> None:
        for number, action in numbered:
            await asyncio.wait_for(world.act(action, number), 30)
            await world.nothing_passes()

    await asyncio.gather(*(caller() for _ in range(6)))
    await asyncio.wait_for(world.work_off(), 60)
    await world.nothing_passes()
    await world.everything_agrees(sim, PROMPT)
