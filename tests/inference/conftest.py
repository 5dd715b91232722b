from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import pytest

from shared.governance.keys.caller import ANONYMOUS, Caller
from shared.inference.assembly import build_inference
from shared.inference.call import Call
from shared.inference.inference import Inference
from shared.settings.model import KeySettings, ProviderSettings, RetrySettings, Settings, TimeoutSettings
from shared.surfaces.request_types import CHAT, RequestType
from simulator.serve import RunningSimulator, running

QUICK = RetrySettings(max_attempts=3, backoff_initial_s=0.01, backoff_max_s=0.02)


@pytest.fixture
async def sim() -> AsyncIterator[RunningSimulator]:
    async with running() as simulator:
        yield simulator


@pytest.fixture
def provider(sim: RunningSimulator) -> Callable[..., ProviderSettings]:
    def configure(**settings: Any) -> ProviderSettings:
        return ProviderSettings(**{"wire": "openai", "base_url": sim.base_url, "retry": QUICK, **settings})

    return configure


@pytest.fixture
async def build() -> AsyncIterator[Callable[..., Inference]]:
    built: list[Inference] = []

    def build(**settings: Any) -> Inference:
        built.append(build_inference(Settings(**settings), {}))
        return built[-1]

    yield build
    for inference in built:
        await inference.aclose()


@pytest.fixture
def inference(build: Callable[..., Inference], provider: Callable[..., ProviderSettings]) -> Inference:
    keys = (
        KeySettings(name="one", value="sk-test-key-number-one1"),
        KeySettings(name="two", value="sk-test-key-number-two2"),
    )
    return build(
        providers={
            "sim": provider(),
            "openai": provider(),
            "keyed": provider(keys=keys),
            "hasty": provider(timeouts=TimeoutSettings(total_s=0.2, first_token_s=0.2, stream_idle_s=0.2)),
            "narrow": provider(concurrency=1),
            "gone": provider(base_url="http://127.0.0.1:9/v1"),
        },
        fallbacks={"sim/gpt@status=503": ("sim/backup",)},
    )


def chat(model: str, *, caller: Caller = ANONYMOUS, request_type: RequestType = CHAT, **more: Any) -> Call:
    known = {
        name: more.pop(name)
        for name in ("deadline", "due", "begin_by", "session", "patience_s", "defers", "job_id", "headers")
        if name in more
    }
    fields = {"model": model, "messages": [{"role": "user", "content": "hello"}], **more}
    return Call(
        request_type=request_type,
        model=model,
        body=orjson.dumps(fields),
        fields=fields,
        stream=bool(more.get("stream")),
        caller=caller,
        **known,
    )
