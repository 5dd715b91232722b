"""Helpers for jobs that are gathered into batches: they do a worker's part when a test asks for it."""

from typing import Any

import orjson

from shared.jobs.bodies import BodyPolicy
from shared.patience.times import LaneTimes
from tests.api.conftest import CHAT, KEY_A, Gateway, Start
from worker.lane_batches import LaneBatches, gathered_batches
from worker.lane_tools import LaneTools

ASYNC = "/v1/async/chat/completions"
BODY = {"model": "openai/gpt-5", "messages": CHAT["messages"]}
PRICES = {"*/*": {"input": 1000, "output": 1000, "batch_discount": 0.5}}
PATIENCE = {"assumed_batch_s": 60, "assumed_now_s": 10, "margin_s": 5, "margin_share": 0, "lanes": ["batch"]}
ADMIN = {"authorization": "Bearer test-admin-key-0123456789"}
MINE = {"x-bf-vk": KEY_A}


class Gathered:
    """A gateway, and a worker that takes turns at gathered batches."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.counted: list[tuple[str, str, int]] = []
        self.ended: list[tuple[str, bool, int, int]] = []
        self.times = LaneTimes(gateway.services.commands)

    @property
    def worker(self) -> LaneBatches:
        services = self.gateway.services
        billing = services.inference._billing
        assert billing
        tools = LaneTools(
            services.commands,
            BodyPolicy.of(services.settings),
            billing=billing,
            inference=services.inference,
            governance=services.governance,
        )
        tools.times = self.times
        worker = gathered_batches(tools, services.settings.jobs.patience, self)
        assert worker
        return worker

    def lane_tried(self, lane: str, result: str, jobs: int = 1) -> None:
        self.counted.append((lane, result, jobs))

    def patience_ended(self, lane: str, on_time: bool, cost: int, listed: int) -> None:
        self.ended.append((lane, on_time, cost, listed))

    async def submit(self, patience: int = 3600, path: str = ASYNC, **fields: Any) -> str:
        headers = {**MINE, "x-bf-async-patience": str(patience)}
        answer = await self.gateway.post(path, {**BODY, **fields}, headers=headers)
        assert answer.status_code == 202, answer.text
        assert answer.json()["lane"] == "batch"
        return str(answer.json()["id"])

    async def is_gathered(self, job_id: str) -> bool:
        commands = self.gateway.services.commands
        sets = await commands.execute("KEYS", "finops:gathered:*:jobs")
        return any([await commands.execute("SISMEMBER", each, job_id) for each in sets])

    async def job(self, job_id: str, path: str = ASYNC) -> dict[str, Any]:
        return dict((await self.gateway.http.get(f"{path}/{job_id}", headers=MINE)).json())

    async def look(self) -> bool:
        """Take a turn without waiting for it to be due; False: nothing is gathered."""
        commands = self.gateway.services.commands
        ids = await commands.execute("ZRANGE", "finops:gathering", 0, -1)
        for each in ids:
            await commands.execute("ZADD", "finops:gathering", 0, each)
        await self.worker.take_turn()
        return bool(ids)

    async def follow_to_the_end(self, most: int = 50) -> None:
        for _ in range(most):
            if not await self.look():
                return
        raise AssertionError("the batch does not end")

    async def fields(self) -> dict[str, str]:
        """The record of the only gathered batch."""
        commands = self.gateway.services.commands
        (batch_id,) = await commands.execute("ZRANGE", "finops:gathering", 0, -1)
        flat = await commands.execute("HGETALL", f"finops:gathered:{batch_id.decode()}")
        return {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2], strict=True)}

    async def entries(self) -> list[dict[str, Any]]:
        billing = self.gateway.services.inference._billing
        assert billing
        await billing.ledger.flush()
        found = await self.gateway.services.commands.execute("XRANGE", "finops:ledger", "-", "+")
        return [orjson.loads(fields[1]) for _, fields in found]

    async def budget(self) -> tuple[float, float]:
        """Used and reserved, in USD."""
        (row,) = (await self.gateway.http.get("/api/keys/a/limits", headers=ADMIN)).json()["data"]
        return row["used_usd"], row["reserved_usd"]


async def gathered_on(start: Start, **patience: Any) -> Gathered:
    key = {"value": KEY_A, "budget": {"limit_usd": 100_000}}
    more = {**PATIENCE, **patience}
    return Gathered(await start(prices=PRICES, virtual_keys={"a": key}, jobs={"patience": more}))
