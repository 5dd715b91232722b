"""Readings of a gateway, for `finops top`: of its administration API, with the rates since the one before."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from cli.client.gateway import Gateway, GatewayRequestError

HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Totals:
    """Calls, failed calls and US dollars since midnight, at a time in Unix seconds."""

    at: float
    calls: int
    errors: int
    cost_usd: float


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading.

    Attributes:
        totals: Of today, from which the next reading has its rates.
        rates: Calls, failed calls and US dollars per second.
        documents: The answers of ``/api/overview``, ``queue``, ``queue/scale`` and ``lanes``.
    """

    totals: Totals
    rates: Mapping[str, float]
    documents: Mapping[str, Any]

    @classmethod
    def of(cls, documents: Mapping[str, Any], last: "Reading | None" = None, at: float | None = None) -> Self:
        """Make a reading of answers.

        Args:
            documents: See ``documents``.
            last: The reading before; None: this is the first.
            at: When it was read, in Unix seconds; None: now.
        """
        at = time.time() if at is None else at
        today = documents["overview"]["today"]
        totals = Totals(at, today["calls"], today["errors"], today["cost_usd"])
        return cls(totals, _rates(totals, documents["overview"]["hours"][-1], last), documents)

    def to_dict(self) -> dict[str, Any]:
        """Return the document that is printed."""
        overview, queue, scale = (self.documents[name] for name in ("overview", "queue", "queue/scale"))
        workers = queue["workers"]
        return {
            "at": round(self.totals.at, 3),
            "queue": {name: queue[name] for name in ("depth", "oldest_age_s", "running", "deferred", "dead", "callers")}
            | {"priorities": queue["priorities"]},
            "workers": {
                "count": len(workers),
                "desired": scale["desired_workers"],
                "slots": sum(worker["concurrency"] for worker in workers),
                "running": sum(worker["running"] for worker in workers),
                "job_s": scale["job_s"],
                "failing_parts": sorted({part for worker in workers for part in worker["failing_parts"]}),
            },
            "rates": dict(self.rates),
            "spend": {"today": overview["today"], "yesterday": overview["yesterday"]},
            "providers": [_provider(name, state) for name, state in overview["providers"].items()],
            "lanes": self.documents["lanes"]["data"],
        }


def _rates(now: Totals, hour: Mapping[str, Any], last: Reading | None) -> dict[str, float]:
    """Return the rates since the last reading; without one, or over midnight, those of the current hour."""
    before = None if last is None else last.totals
    if before is not None and now.at > before.at and now.calls >= before.calls:
        seconds = now.at - before.at
        amounts = (now.calls - before.calls, now.errors - before.errors, now.cost_usd - before.cost_usd)
    else:
        seconds = min(max(now.at - hour["at"], 1.0), HOUR_S)
        amounts = (hour["calls"], hour["errors"], hour["cost_usd"])
    names = ("calls_per_s", "errors_per_s", "usd_per_s")
    return {name: max(amount, 0) / seconds for name, amount in zip(names, amounts, strict=True)}


def _provider(name: str, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a provider's health in short."""
    open_models = [one for one in state["circuits"] if one["circuit"] != "closed"]
    return {
        "name": name,
        "circuit": state["circuit"],
        "open_circuits": len(open_models),
        "resting_keys": len(state["resting_keys"]),
        "running": state["concurrency"]["inside"],
        "waiting": state["concurrency"]["waiting"],
        "limit": state["concurrency"]["limit"],
    }


async def readings(gateway: Gateway, interval_s: float, count: int | None) -> AsyncIterator[dict[str, Any]]:
    """Yield readings; once there was one, a gateway that does not answer for a while is reported in the next.

    Args:
        gateway: Where to read.
        interval_s: Seconds between two readings.
        count: How many; None: without an end.

    Raises:
        GatewayRequestError: The first reading failed, or the gateway refuses another.
    """
    last: Reading | None = None
    made = 0
    while True:
        try:
            last = Reading.of(await _documents(gateway), last)
        except GatewayRequestError as error:
            if last is None or not error.transient:
                raise
            yield {**last.to_dict(), "error": error.message}
        else:
            yield last.to_dict()
        made += 1
        if made == count:
            return
        await asyncio.sleep(interval_s)


async def _documents(gateway: Gateway) -> dict[str, Any]:
    """Fetch what one reading is made of."""
    names = ("overview", "queue", "queue/scale", "lanes")
    found = await asyncio.gather(*(gateway.administer("GET", name) for name in names))
    return dict(zip(names, found, strict=True))
