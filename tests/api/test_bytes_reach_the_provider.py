"""A body in a provider's own format reaches it byte for byte apart from the model, so that prompt caches hit."""

import pytest

from simulator.serve import RunningSimulator
from tests.api.conftest import Gateway

# Spaces, escapes, an order and fields that no serialiser would write like this.
REST = b'"max_tokens" : 20,\n "messages":[ {"content":"caf\\u00e9 \xc3\xa9 \\/","role":"user"} ] , "x_own":1.0e1}'


@pytest.mark.parametrize(
    ("path", "named", "model", "rest"),
    [
        ("/openai/chat/completions", b"sim/gpt-4o", b"gpt-4o", REST),
        ("/v1/chat/completions", b"sim/gpt-4o", b"gpt-4o", REST),
        ("/v1/responses", b"sim/gpt-4o", b"gpt-4o", b'"store":false,  "input":"caf\\u00e9"}'),
        ("/v1/embeddings", b"sim/embed", b"embed", b'"input" :["caf\\u00e9","b"]}'),
    ],
)
async def test_bytes_reach_the_provider(
    gateway: Gateway, sim: RunningSimulator, path: str, named: bytes, model: bytes, rest: bytes
) -> None:
    body = b'{ "model":"' + named + b'", ' + rest
    answer = await gateway.http.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 200, answer.text
    assert sim.requests[-1].raw == body.replace(named, model)


async def test_the_prefix_of_a_stream_is_the_callers(gateway: Gateway, sim: RunningSimulator) -> None:
    body = b'{ "model":"sim/gpt-4o", "stream" :true, ' + REST
    await gateway.http.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
    assert sim.requests[-1].raw.startswith(body.replace(b"sim/gpt-4o", b"gpt-4o")[:-1])
