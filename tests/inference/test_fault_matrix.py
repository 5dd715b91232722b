"""Every upstream fault against every way of calling, over real sockets: each call ends as it should, and says so.

``hasty`` has the silence of two minutes scaled to a fifth of a second.
"""

import asyncio
from collections.abc import Callable

import pytest

from shared.inference.inference import Inference
from simulator.serve import RunningSimulator
from tests.inference.call_modes import WAYS, Ended, call

pytestmark = pytest.mark.parametrize("way", WAYS)

# Faults that pass: the same model answers after all. (model, attempts)
PASSING = [
    ("sim/gpt@status=429,times=1,retry_after_ms=50", 2),
    ("sim/gpt@status=429,times=2", 3),
    *((f"sim/gpt@status={status},times=1", 2) for status in (500, 502, 503, 504, 529)),
    ("sim/gpt@reset,times=1", 2),
    ("sim/gpt@reset,times=2", 3),
    ("keyed/gpt@status=401,times=1", 2),
    ("keyed/gpt@status=429,times=1,retry_after=60", 2),
    ("sim/gpt@latency=0.15", 1),
    ("sim/gpt@ttft=0.15", 1),
]
# Faults before the first byte that stay. (model, status, code, upstream requests)
STAYING = [
    ("sim/gpt@status=429", 429, "rate_limit_exceeded", 3),
    ("sim/gpt-4@status=503", 503, None, 3),
    ("sim/gpt@status=500", 500, None, 3),
    ("sim/gpt@reset", 502, "upstream_error", 3),
    ("hasty/gpt@hang", 504, "upstream_timeout", 1),
    ("hasty/gpt@ttft=5", 504, "upstream_timeout", 1),
    ("gone/gpt", 502, "upstream_error", 0),
    ("keyed/gpt@status=401", 401, None, 2),
]
# Faults of the request itself: reported at once, whatever target follows.
REFUSED = [
    ("sim/gpt@policy", 400),
    ("sim/gpt@status=400", 400),
    ("sim/gpt@status=422", 422),
]


@pytest.mark.parametrize(("model", "attempts"), PASSING)
async def test_a_fault_that_passes_is_not_seen(inference: Inference, way: str, model: str, attempts: int) -> None:
    ended = await call(inference, way, model)
    assert ended.text
    assert (ended.model, ended.attempts) == (model.partition("/")[2], attempts)


@pytest.mark.parametrize(("model", "status", "code", "requests"), STAYING)
async def test_a_fault_that_stays_is_told(
    inference: Inference,
    sim: RunningSimulator,
    way: str,
    model: str,
    status: int,
    code: str | None,
    requests: int,
) -> None:
    ended = await call(inference, way, model)
    assert ended.status == status
    assert code is None or ended.code == code
    assert len(sim.requests) == requests


@pytest.mark.parametrize("model", [model for model, *_ in STAYING])
async def test_a_fault_that_stays_leads_to_the_fallback(
    inference: Inference, sim: RunningSimulator, way: str, model: str
) -> None:
    ended = await call(inference, way, model, fallbacks=["sim/backup"])
    assert ended.text
    assert (ended.provider, ended.model) == ("sim", "backup")
    last = sim.requests[-1]
    assert last.body["model"] == "backup"
    assert ended.usage["total_tokens"] > 0
    reached = 0 if model.startswith("gone") else 1
    assert ended.attempts >= 1 + reached
    assert ended.attempts == (len(sim.requests) if reached else 4), "every attempt is counted, the useless ones too"


@pytest.mark.parametrize(("model", "status"), REFUSED)
async def test_a_wrong_request_is_not_taken_elsewhere(
    inference: Inference, sim: RunningSimulator, way: str, model: str, status: int
) -> None:
    ended = await call(inference, way, model, fallbacks=["sim/backup"])
    assert ended.status == status
    assert len(sim.requests) == 1


async def test_a_context_too_long_goes_to_the_next_model(inference: Inference, way: str) -> None:
    assert (await call(inference, way, "sim/gpt@context_length")).code == "context_length_exceeded"
    assert (await call(inference, way, "sim/gpt@context_length", fallbacks=["sim/large"])).model == "large"


@pytest.mark.parametrize("at", [0, 1, 3, 1000])
@pytest.mark.parametrize("fault", ["cut", "stall", "bad_chunk"])
async def test_an_answer_that_breaks_off_is_never_a_success(
    inference: Inference, sim: RunningSimulator, way: str, fault: str, at: int
) -> None:
    ended = await call(inference, way, f"hasty/gpt@{fault}={at}")
    assert ended.status in {502, 504}
    assert ended.code in {"upstream_error", "upstream_timeout"}
    await sim.wait_until(lambda log: log.open_count == 0)


async def test_an_answer_with_its_finish_reason_is_complete_without_done(inference: Inference, way: str) -> None:
    assert (await call(inference, way, "sim/gpt@no_done")).answered


async def test_an_error_inside_an_answer_is_never_a_success(inference: Inference, way: str) -> None:
    ended = await call(inference, way, "sim/gpt@error_event=2")
    assert ended.status >= 500


@pytest.mark.parametrize("fault", ["cut=0", "stall=0", "bad_chunk=0"])
async def test_before_the_first_byte_another_may_answer(inference: Inference, way: str, fault: str) -> None:
    ended = await call(inference, way, f"hasty/gpt@{fault}", fallbacks=["sim/backup"])
    assert ended.model == "backup"


async def test_what_has_begun_is_not_replayed(inference: Inference, sim: RunningSimulator, way: str) -> None:
    ended = await call(inference, way, "sim/gpt@cut=3", fallbacks=["sim/backup"])
    if way == "sync":
        assert ended.model == "backup", "nothing of it was passed on: it was no more than an attempt"
    else:
        assert ended.status == 502
        assert len(sim.requests) == 1


async def test_a_flapping_upstream_serves_every_call(inference: Inference, sim: RunningSimulator, way: str) -> None:
    for status in (500, 503, 429, 502):
        sim.script(model="flapping", times=1, status=status)
    sim.script(model="flapping", times=1, reset=True)
    ends = await asyncio.gather(*(call(inference, way, "sim/flapping") for _ in range(8)))
    assert all(ended.text for ended in ends)
    assert sum(ended.attempts for ended in ends) == len(sim.requests)


async def test_a_long_retry_after_ends_a_call_and_defers_a_job(inference: Inference, way: str) -> None:
    ended = await call(inference, way, "sim/gpt@status=429,retry_after=60")
    if way == "job":
        assert 30 < ended.deferred_s <= 60
    else:
        assert ended.status == 429


async def test_usage_is_that_of_the_model_that_answered(inference: Inference, way: str) -> None:
    alone = await call(inference, way, "sim/backup@tokens=7")
    after = await call(inference, way, "sim/gpt@status=500,tokens=50", fallbacks=["sim/backup@tokens=7"])
    assert after.usage == alone.usage
    assert (after.model, after.attempts) == ("backup@tokens=7", 4)


async def test_an_open_circuit_answers_at_once(
    build: Callable[..., Inference], provider: Callable[..., object], sim: RunningSimulator, way: str
) -> None:
    breaker = {"window_s": 30, "min_requests": 3, "error_rate": 0.5, "open_s": 60}
    inference = build(providers={"sim": provider(breaker=breaker), "other": provider()})
    await call(inference, way, "sim/gpt@status=500")
    before = len(sim.requests)
    ended: Ended = await call(inference, way, "sim/gpt@status=500")
    assert len(sim.requests) == before, "it is left alone"
    assert ended.code == "circuit_open" if way != "job" else ended.deferred_s > 50
    assert (await call(inference, way, "sim/gpt@status=500", fallbacks=["other/backup"])).provider == "other"
    assert (await call(inference, way, "sim/healthy")).text, "its other models are not to blame"
