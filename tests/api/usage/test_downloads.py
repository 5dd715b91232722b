"""Files that are made while they are sent, and what a tool makes of them."""

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest

from api.usage.downloads import FORMATS, ROWS_AT_ONCE, Download, pieces, renderer
from shared.governance.keys.caller import Caller
from shared.governance.ledger.focus import COLUMNS, NAMES
from shared.governance.ledger.writer import CallOutcome, entry_of
from shared.governance.pricing.prices import UNPRICED, Cost
from shared.governance.pricing.usage import Usage
from tests.governance.ledger.test_ledger import outcome
from tests.serving import serving
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

CALLS = 100_000


async def _many_calls() -> AsyncIterator[list[dict[str, Any]]]:
    """A hundred thousand calls of an hour, by teams and models, as the ledger is read."""
    kinds = [orjson.loads(entry_of(_call(at))) for at in range(1000)]
    for start in range(0, CALLS, 1000):
        yield [{**entry, "at": 1_790_000_000_000 + (start + at) * 36} for at, entry in enumerate(kinds)]


def _call(at: int) -> CallOutcome:
    return outcome(
        caller=Caller(key_id=f"vk_{at % 20}", name=f"key {at % 20}", team=f"team-{at % 7}"),
        model=("gpt-4o", "@cf/meta/llama", "claude")[at % 3],
        usage=Usage() if at % 50 == 0 else Usage(input=at, output=1),
        cost=UNPRICED if at % 11 == 0 else Cost(at, list_micro_usd=at),
        status=503 if at % 50 == 0 else 200,
    )


@pytest.mark.slow
@pytest.mark.timeout(300)  # a hundred thousand of anything takes its time where coverage is measured
async def test_a_hundred_thousand_calls_in_focus_load_in_pandas() -> None:
    import pandas as pd  # here, as each pytest worker would import it to collect the tests: 0.6 s of CPU

    kinds = {"Decimal": pd.api.types.is_numeric_dtype, "Date/Time": pd.api.types.is_datetime64_any_dtype}
    text = io.BytesIO()
    async for piece in pieces(_many_calls(), renderer("focus", ())):
        text.write(piece)
    text.seek(0)
    dates = [column.name for column in COLUMNS if column.type == "Date/Time"]
    texts = {column.name: "string" for column in COLUMNS if column.type in {"String", "JSON"}}
    frame = pd.read_csv(text, dtype=texts, parse_dates=dates)
    assert tuple(frame.columns) == NAMES
    assert len(frame) == CALLS
    for column in COLUMNS:
        values = frame[column.name]
        if values.notna().any():
            assert kinds.get(column.type, pd.api.types.is_string_dtype)(values), column
        assert column.nullable or values.notna().all(), column
        assert not column.allowed or set(values.dropna()) <= set(column.allowed), column
    assert set(frame["BillingCurrency"]) == {"USD"}
    assert all(str(frame[name].dt.tz) == "UTC" for name in dates)
    assert (frame["ChargePeriodEnd"] - frame["ChargePeriodStart"] == pd.Timedelta(hours=1)).all()
    expected = CALLS // 1000 * sum(at for at in range(1000) if at % 11) / 1_000_000
    assert frame["BilledCost"].sum() == pytest.approx(expected)
    assert frame["Tags"].map(orjson.loads).str["team"].nunique() == 7
    assert set(frame["ServiceName"]) == {"gpt-4o", "'@cf/meta/llama", "claude"}


@pytest.mark.parametrize("kind", sorted(FORMATS))
async def test_a_file_is_never_whole_in_memory_and_others_have_their_turn(kind: str) -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    waiting = asyncio.create_task(others())
    batches, longest = _few_calls(20), 0
    async for piece in pieces(batches, renderer(kind, ("model", "cost"))):
        longest = max(longest, len(piece))
    waiting.cancel()
    await asyncio.wait([waiting])
    assert longest < ROWS_AT_ONCE * 2_000
    assert turns > 20 * 1000 / ROWS_AT_ONCE - 1


async def _few_calls(batches: int) -> AsyncIterator[list[dict[str, Any]]]:
    entry = orjson.loads(entry_of(outcome()))
    for _ in range(batches):
        yield [entry] * 1000


async def test_a_caller_that_hangs_up_ends_the_work() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def without_end() -> AsyncIterator[bytes]:
        try:
            while True:
                begun.set()
                yield b"x" * 65_536
                await asyncio.sleep(0)
        finally:
            ended.set()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await Download(without_end(), "x", FORMATS["csv"])(scope, receive, send)

    async with serving(app) as url, httpx.AsyncClient() as client:
        async with client.stream("GET", url) as answer:
            assert answer.headers["content-disposition"] == 'attachment; filename="x.csv"'
            assert answer.headers["transfer-encoding"] == "chunked"
            await begun.wait()
        await wait_until(ended.is_set)


async def test_a_failure_on_the_way_is_no_whole_file() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"beginning"
        raise ValueError("the store went away")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        with pytest.raises(ValueError, match="went away"):
            await Download(broken(), "x", FORMATS["csv"])(scope, receive, send)

    async with serving(app) as url, httpx.AsyncClient() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(url)
