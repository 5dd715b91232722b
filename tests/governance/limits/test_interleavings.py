"""Whatever is interleaved: no budget is overspent by more than one estimate, and the books agree with the meters."""

import asyncio
from typing import Any

import orjson
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from redis import Redis

from shared.errors import BudgetExceeded, RequestLimited
from shared.governance.limits.guard import LimitGuard, governance_scripts
from shared.governance.limits.model import Limit
from shared.governance.limits.runs import Run
from shared.store.embedded import EmbeddedStore
from shared.store.multiplexed import MultiplexedClient
from tests.governance.conftest import noon_of_next_month, store_time

pytestmark = pytest.mark.slow

LIMIT = 1_000
REQUESTS = 15
MOST = 300
LIMITS = {
    "one": (Limit("cost", "key:one", "1M", LIMIT), Limit("requests", "key:one", "1M", REQUESTS)),
    "two": (Limit("cost", "key:two", "rolling:1M", LIMIT), Limit("cost", "team:t", "1M", LIMIT)),
    "three": (Limit("cost", "key:three", "1M", 10 * LIMIT), Limit("cost", "team:t", "1M", LIMIT)),
    "run": (Run("r", LIMIT).limit("o"), Limit("cost", "user:u", "1M", 10 * LIMIT)),
    "more of the run": (Run("r", 2 * LIMIT).limit("o"), Limit("cost", "dimension:d:v", "1M", LIMIT)),
}
# Meters and the callers that they count.
METERS = {
    "key:one": ("one",),
    "key:two": ("two",),
    "key:three": ("three",),
    "team:t": ("two", "three"),
    "user:u": ("run",),
    "dimension:d:v": ("more of the run",),
}
AMOUNTS = {"key:three": 10 * LIMIT, "user:u": 10 * LIMIT}
RUN = "finops:run:o:r"


class Interleavings(RuleBasedStateMachine):
    """Calls of three callers: reserved, settled (also twice, also late), given up, left behind by dead processes."""

    url = ""

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        with Redis.from_url(self.url) as redis:
            redis.flushall()
        self.store = MultiplexedClient(self.url)
        self.guard = LimitGuard(self.store)
        # Ahead of the store and in the middle of a month: nothing expires, no window ends under the test.
        self.now = round(noon_of_next_month(self.run(store_time(self.store))).timestamp() * 1000)
        self.open: dict[str, tuple[str, int, int]] = {}
        self.left: dict[str, tuple[str, int, int]] = {}
        self.booked: dict[str, int] = dict.fromkeys(LIMITS, 0)
        self.ended: list[str] = []
        self.batch = 0
        self.count = 0
        self.passed = 0
        self.capped = False

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    @rule(caller=st.sampled_from(sorted(LIMITS)), estimate=st.integers(0, MOST))
    def reserve(self, caller: str, estimate: int) -> None:
        self.count += 1
        reservation = str(self.count)
        try:
            self.run(self.guard.admit(reservation, LIMITS[caller], cost=estimate, tokens=0, clock=str(self.now)))
        except (BudgetExceeded, RequestLimited):
            return
        self.passed += caller == "one"
        self.capped = self.capped or caller == "run"
        self.open[reservation] = (caller, estimate, self.now)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), twice=st.booleans())
    def settle(self, data: st.DataObject, twice: bool) -> None:
        reservation = data.draw(st.sampled_from(sorted(self.open)))
        caller, estimate, _ = self.open.pop(reservation)
        self._book(reservation, caller, data.draw(st.integers(0, estimate)), twice=twice)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        reservation = data.draw(st.sampled_from(sorted(self.open)))
        del self.open[reservation]
        self._write([reservation, "released", ""])
        self.ended.append(reservation)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        reservation = data.draw(st.sampled_from(sorted(self.open)))
        self.left[reservation] = self.open.pop(reservation)

    @precondition(lambda self: self.ended)
    @rule(data=st.data())
    def settle_what_has_ended(self, data: st.DataObject) -> None:
        self._write([data.draw(st.sampled_from(self.ended)), "settled", ""])

    @rule()
    def time_passes_until_the_dead_are_swept(self) -> None:
        self.now += 130_000
        for reservation, (_, _, since) in list(self.open.items()):  # the living renew
            self.run(self.store.execute("ZADD", "finops:holds", "XX", self.now + 120_000, reservation))
            assert since <= self.now
        self._write(["", "settled", ""])
        if len(self.left) <= 20:
            self.ended_left()

    def ended_left(self) -> None:
        self.left.clear()

    def _book(self, reservation: str, caller: str, cost: int, *, twice: bool) -> None:
        entry = orjson.dumps({"key": caller, "cost": cost, "status": 200, "priced": True}).decode()
        self._write([reservation, "settled", entry])
        if twice:
            self._write([reservation, "settled", entry], again=True)
        self.booked[caller] += cost
        self.ended.append(reservation)

    def _write(self, line: list[Any], *, again: bool = False) -> None:
        self.batch += not again
        args = ["w", self.batch, str(self.now), *line]
        self.run(self.store.script(governance_scripts()["settle"], (), args))

    def _meter(self, key: str) -> tuple[int, int]:
        fields = self.run(self.store.execute("HGETALL", key))
        pairs = [(fields[at], int(fields[at + 1])) for at in range(0, len(fields), 2)]
        counted = [(name[:1], n) for name, n in pairs if name[:1] in b"uh" and name != b"used_ms"]
        return sum(n for kind, n in counted if kind == b"u"), sum(n for kind, n in counted if kind == b"h")

    @invariant()
    def nothing_is_overspent_and_the_books_agree(self) -> None:
        if not hasattr(self, "store"):
            return
        keys = {key.decode() for key in self.run(self.store.execute("KEYS", "finops:meter:cost:*"))}
        for key in (*keys, RUN):
            scope = next((scope for scope in METERS if f":{scope}:" in key), RUN)
            used, held = self._meter(key)
            callers = METERS.get(scope, ("run", "more of the run"))
            living = sum(e for caller, e, _ in (*self.open.values(), *self.left.values()) if caller in callers)
            assert used == sum(self.booked[caller] for caller in callers)
            assert held == living
            # The second caller asks for twice the run's cap: whoever is first sets it, the first may lower it.
            limit = AMOUNTS.get(scope, 2 * LIMIT if scope == RUN and not self.capped else LIMIT)
            assert used + held < limit + MOST
        assert self.passed <= REQUESTS

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self._close())
            self.runner.close()

    async def _close(self) -> None:
        await self.guard.aclose()
        await self.store.aclose()


def test_any_interleaving(real_store: EmbeddedStore) -> None:
    machine = type("OnTheRealStore", (Interleavings,), {"url": real_store.url})
    run = machine.TestCase  # type: ignore[attr-defined]
    run.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
    run("runTest").runTest()
