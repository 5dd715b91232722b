"""What open tabs of the first page cost the store, and what they show."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from api.admin.overview import read_figures
from api.http.shared_answers import SharedAnswers
from shared.governance.keys.authenticate import Authenticator
from shared.governance.keys.cache import VirtualKeyCache
from shared.governance.keys.sessions import COOKIE, Sessions
from shared.jobs.overview import MOST_GROUPS, OverviewReader
from shared.store.commands import Argument, Command, RedisCommands
from shared.store.scripts import Script
from tests.api.admin.administering import ADMIN
from tests.api.conftest import ADMIN_KEY, Gateway

SECONDS = 10


class Counted:
    """A store that counts the commands sent to it: those of a pipeline each, a script as one."""

    def __init__(self, commands: RedisCommands) -> None:
        self._commands = commands
        self.shard = commands.shard
        self.count = 0

    async def execute(self, *args: Argument, retry_safe: bool = False) -> Any:
        self.count += 1
        return await self._commands.execute(*args, retry_safe=retry_safe)

    def begin(self, *args: Argument) -> asyncio.Future[Any]:
        self.count += 1
        return self._commands.begin(*args)

    async def execute_many(self, commands: Sequence[Command], *, retry_safe: bool = False) -> list[Any]:
        self.count += len(commands)
        return await self._commands.execute_many(commands, retry_safe=retry_safe)

    async def script(
        self, script: Script, keys: Sequence[str | bytes], args: Sequence[Argument] = (), *, retry_safe: bool = False
    ) -> Any:
        self.count += 1
        return await self._commands.script(script, keys, args, retry_safe=retry_safe)

    async def aclose(self) -> None:
        await self._commands.aclose()


class Tabs:
    """Tabs of administrators before a gateway whose time a test moves and whose store counts."""

    def __init__(self, gateway: Gateway) -> None:
        services = gateway.services
        self.store = Counted(services.commands)
        self.time = 0.0
        sessions = Sessions(self.store, now=lambda: self.time)
        ring = VirtualKeyCache(self.store, services.settings)
        gateway.app.state.services = replace(
            services,
            commands=self.store,
            overview=OverviewReader(self.store),
            sessions=sessions,
            shared_answers=SharedAnswers(lambda: self.time),
            governance=Authenticator(services.settings, ring=ring, sessions=sessions),
        )
        self._gateway = gateway

    async def sign_in(self) -> str:
        answer = await self._gateway.http.post("/ui/session", json={"key": ADMIN_KEY})
        token = str(answer.cookies[COOKIE])
        self._gateway.http.cookies.clear()
        return token

    async def look(self, token: str) -> httpx.Response:
        return await self._gateway.http.get("/api/overview", headers={"cookie": f"{COOKIE}={token}"})


@pytest.fixture
def tabs(gateway: Gateway) -> Tabs:
    return Tabs(gateway)


@pytest.mark.parametrize("count", [1, 5])
async def test_open_tabs_cost_the_store_one_command_a_second(tabs: Tabs, count: int) -> None:
    tokens = [await tabs.sign_in() for _ in range(count)]
    for token in tokens:
        assert (await tabs.look(token)).status_code == 200
    tabs.store.count = 0
    for _ in range(SECONDS):
        tabs.time += 1.0
        for token in tokens:
            assert (await tabs.look(token)).status_code == 200
    assert tabs.store.count == SECONDS


async def test_a_session_that_ends_elsewhere_is_refused_with_the_next_read(tabs: Tabs, gateway: Gateway) -> None:
    token, other = await tabs.sign_in(), await tabs.sign_in()
    assert (await tabs.look(token)).status_code == 200
    assert (await tabs.look(other)).status_code == 200
    await Sessions(gateway.services.commands).end(token)
    tabs.time += 1.0
    assert (await tabs.look(other)).status_code == 200  # this tab's read tells of the other's session
    assert (await tabs.look(token)).status_code == 401
    assert (await tabs.look(other)).status_code == 200


async def test_sessions_out_of_use_are_not_read(tabs: Tabs, gateway: Gateway) -> None:
    token = await tabs.sign_in()
    await tabs.look(token)
    sessions = gateway.services.sessions
    assert len(sessions.in_use()) == 1
    tabs.time += 5.0
    assert sessions.in_use() == []
    sessions.renew(["finops:session:unknown"], [None])
    assert sessions.in_use() == []


async def test_calls_and_failed_jobs_are_seen_with_the_next_read(gateway: Gateway) -> None:
    message = [{"role": "user", "content": "x"}]
    first = await read_figures(gateway.services)
    await gateway.post("/openai/chat/completions", {"model": "sim/gpt-4o", "messages": message})
    failed = await gateway.submit({"model": "sim/gpt-4o@status=400", "messages": message})
    await gateway.worker.work_off()
    figures = await read_figures(gateway.services)
    assert [job["id"] for job in figures["failed_jobs"]] == [failed]
    assert first["hours"][-1]["calls"] == 0
    latest = figures["hours"][-2:]  # an hour may have ended meanwhile
    assert (sum(hour["calls"] for hour in latest), sum(hour["errors"] for hour in latest)) == (2, 1)
    assert len(figures["hours"]) == 24
    assert set(figures["today"]) == set(figures["yesterday"]) == {"calls", "errors", "cost_usd"}


async def test_an_hour_of_very_many_groups_is_added_up_less_often(gateway: Gateway) -> None:
    commands = gateway.services.commands
    reader = OverviewReader(commands)
    now = datetime.strptime((await reader.read(1)).hour, "%Y-%m-%dT%H").replace(tzinfo=UTC)
    keys = [f"finops:usage:h:{now + timedelta(hours=more):%Y-%m-%dT%H}" for more in (0, 1)]  # it may end meanwhile
    row = "1,0,0,5,5,0,0,1000,1000,7,1,0,0,0,0,0"
    fields = [text for at in range(MOST_GROUPS) for text in (f"k\x1f\x1f\x1f\x1fsim\x1fm{at}\x1f\x1f", row)]
    for key in keys:
        await commands.execute("HSET", key, *fields)
    read = await reader.read(1)
    assert read.sums is not None
    assert (read.sums.calls, read.sums.cost) == (MOST_GROUPS, 1000 * MOST_GROUPS)
    for key in keys:
        await commands.execute("HSET", key, "one\x1fmore", row)
    assert (await reader.read(1)).sums is None
    gateway.services.shared_answers.forget()
    assert (await read_figures(gateway.services))["hours"][-1]["calls"] == MOST_GROUPS + 1


async def test_an_answer_of_another_version_is_made_anew() -> None:
    answers = SharedAnswers(lambda: 0.0)

    async def make(text: str) -> str:
        return text

    assert await answers.get("a", 60, lambda: make("old"), version="1") == "old"
    assert await answers.get("a", 60, lambda: make("new"), version="1") == "old"
    assert await answers.get("a", 60, lambda: make("new"), version="2") == "new"


async def test_the_overview_needs_an_administrator(gateway: Gateway) -> None:
    assert (await gateway.http.get("/api/overview")).status_code == 401
    assert (await gateway.http.get("/api/overview", headers=ADMIN)).status_code == 200
