"""``finops top``: one reading, the rates between two, and the page on a terminal of 80 columns."""

import asyncio
import io
import json
from typing import Any

import pytest
from rich.console import Console

from cli.client.gateway import GatewayRequestError
from cli.client.readings import Reading, readings
from cli.commands import top
from cli.views.top import Screen, page
from tests.cli.conftest import Finops

AT = 1_800_000_000.0
HEALTHY = {
    "circuit": "closed",
    "circuits": [],
    "resting_keys": [],
    "concurrency": {"configured": 0, "limit": 8, "inside": 3, "waiting": 1},
}
BROKEN = {
    **HEALTHY,
    "circuit": "open",
    "circuits": [
        {"key": "a", "model": "gpt-4o", "circuit": "half_open"},
        {"key": "b", "model": "m", "circuit": "closed"},
    ],
    "resting_keys": [{"key": "a"}, {"key": "b"}],
}


def documents(calls: int = 360, errors: int = 36, cost_usd: float = 1.8, **providers: Any) -> dict[str, Any]:
    sums = {"calls": calls, "errors": errors, "cost_usd": cost_usd}
    workers = [
        {"id": "w1", "concurrency": 1000, "running": 7, "failing_parts": {"outbox\x1b[2J": 2}},
        {"id": "w2", "concurrency": 1000, "running": 5, "failing_parts": {}},
    ]
    return {
        "overview": {
            "today": sums,
            "yesterday": {"calls": 9, "errors": 0, "cost_usd": 0.5},
            "hours": [{"at": int(AT) - 360, **sums}],
            "providers": providers or {"openai": HEALTHY},
        },
        "queue": {
            "depth": 12, "oldest_age_s": 61.0, "running": 12, "deferred": 3, "dead": 1, "callers": 2,
            "workers": workers,
            "priorities": {"high": {"depth": 2, "oldest_age_s": 61.0}, "low": {"depth": 10, "oldest_age_s": None}},
        },
        "queue/scale": {"desired_workers": 3, "job_s": None},
        "lanes": {"data": []},
    }  # fmt: skip


def printed(reading: Any, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(page(reading, console))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_the_first_reading_has_the_means_of_the_hour_and_the_next_what_came_between() -> None:
    first = Reading.of(documents(), at=AT)
    assert first.rates == {"calls_per_s": 1.0, "errors_per_s": 0.1, "usd_per_s": 0.005}
    second = Reading.of(documents(380, 36, 1.9), first, AT + 2)
    assert second.rates == {"calls_per_s": 10.0, "errors_per_s": 0.0, "usd_per_s": pytest.approx(0.05)}


@pytest.mark.parametrize("later_s", [2, 0])
def test_rates_over_midnight_or_no_time_are_the_hours(later_s: float) -> None:
    first = Reading.of(documents(), at=AT)
    again = Reading.of(documents(360 if not later_s else 5, 0, 0.0), first, AT + later_s)
    assert again.rates["calls_per_s"] == pytest.approx((5 if later_s else 360) / (360 + later_s))


def test_a_reading_sums_the_workers_and_names_what_fails_in_them() -> None:
    reading = Reading.of(documents(openai=HEALTHY, groq=BROKEN), at=AT).to_dict()
    assert reading["workers"] == {
        "count": 2, "desired": 3, "slots": 2000, "running": 12, "job_s": None, "failing_parts": ["outbox\x1b[2J"],
    }  # fmt: skip
    openai, groq = reading["providers"]
    assert (openai["circuit"], openai["running"], openai["waiting"], openai["limit"]) == ("closed", 3, 1, 8)
    assert (groq["open_circuits"], groq["resting_keys"]) == (1, 2)


def test_a_page_fits_80_columns_and_cannot_steer_the_terminal() -> None:
    many = {f"provider-with-a-long-name-{at}": HEALTHY for at in range(14)}
    made = documents(**many, broken=BROKEN, cooling={**HEALTHY, "resting_keys": [{"key": "a"}]})
    made["lanes"]["data"] = [
        {"lane": "flex", "model": "openai/gpt-4o-2024-08-06", "answers": 5, "late": 1, "p50_s": 2.0, "p95_s": None}
    ]
    reading = {**Reading.of(made, at=AT).to_dict(), "error": "the gateway did not answer in time"}
    text = printed(reading)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert "failing in workers: outbox" in text
    assert "no new reading: the gateway did not answer in time" in text
    assert "12 waiting, 12 running, 3 deferred, 1 dead" in text
    assert "and 6 more" in text
    first = next(line for line in text.splitlines() if "circuit open" in line)
    assert "circuit open, 1 model circuit, 2 cooling keys" in printed(reading, 200)
    assert text.index(first) < text.index("provider-with-a-long-name-0"), "trouble comes first"
    assert "1 cooling key " in text
    assert "flex" in text


def test_a_screen_shows_each_reading_and_leaves_the_last_one() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80, height=30)
    with Screen(console) as screen:
        screen.update(Reading.of(documents(), at=AT).to_dict())
        screen.update(Reading.of(documents(361), at=AT).to_dict())
    screen, ended, left = stream.getvalue().partition("\x1b[?1049l")
    assert ("360 calls" in screen, bool(ended), "361 calls" in left) == (True, True, True)


class FailsAfter:
    """A gateway of which each answer but the first is an error."""

    def __init__(self, error: GatewayRequestError) -> None:
        self._error = error
        self._left = 4

    async def administer(self, method: str, path: str) -> Any:
        assert method == "GET"
        if not self._left:
            raise self._error
        self._left -= 1
        return documents()[path]


async def read(gateway: Any, count: int) -> list[dict[str, Any]]:
    return [reading async for reading in readings(gateway, 0.0, count)]


async def test_a_gateway_that_is_away_for_a_while_leaves_the_last_reading() -> None:
    first, second = await read(FailsAfter(GatewayRequestError("away", transient=True)), 2)
    assert second == {**first, "error": "away"}


async def test_a_refusal_ends_it_and_so_does_a_gateway_that_never_answered() -> None:
    refused = FailsAfter(GatewayRequestError("revoked"))
    with pytest.raises(GatewayRequestError, match="revoked"):
        await read(refused, 2)
    with pytest.raises(GatewayRequestError, match="revoked"):
        await read(refused, 1)


async def test_a_terminal_gets_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80, height=30)
    monkeypatch.setattr("cli.views.output.out", lambda: console)
    gateway: Any = FailsAfter(GatewayRequestError("away"))
    await top._show(gateway, 0.0, 1, as_json=False, pretty=False)
    assert "\x1b[?1049l" in stream.getvalue()


def test_ctrl_c_ends_it_in_order(finops: Finops, monkeypatch: pytest.MonkeyPatch) -> None:
    async def interrupted(*_: object, **__: object) -> None:
        await asyncio.sleep(0)
        raise KeyboardInterrupt

    monkeypatch.setattr(top, "_show", interrupted)
    assert finops("top").exit_code == 0


@pytest.mark.process
@pytest.mark.timeout(120)
@pytest.mark.usefixtures("jobs")
def test_a_running_gateway_is_watched_from_a_script_and_a_pipe(finops: Finops) -> None:
    reading = json.loads(finops("top", "--once", "--json").stdout)
    assert set(reading["spend"]["today"]) == {"calls", "errors", "cost_usd"}
    assert "sim" in {provider["name"] for provider in reading["providers"]}
    assert set(reading["queue"]["priorities"]) == {"high", "normal", "low"}
    lines = finops("top", "--json", "--count", "2", "--interval", "0.2").stdout.splitlines()
    assert [set(json.loads(line)) for line in lines] == [set(reading)] * 2
    text = finops("top", "--once").stdout
    assert "workers" in text
    assert "priority" in text
