"""Every scripted behaviour, as a client meets it on a real socket."""

import asyncio
import contextlib
import json
import time

import httpx
import openai
import pytest

USER = [{"role": "user", "content": "Hello"}]


def chat(model: str, **more) -> dict:
    return {"model": model, "messages": USER, **more}


async def read_frames(http, path: str, body: dict) -> tuple[list[str], Exception | None]:
    """The frames of a stream and the error that ended it, if one did."""
    text = ""
    try:
        async with http.stream("POST", path, json={**body, "stream": True}) as reply:
            async for piece in reply.aiter_text():
                text += piece
    except httpx.HTTPError as error:
        return text.strip().split("\n\n") if text else [], error
    return text.strip().split("\n\n") if text else [], None


@pytest.fixture(params=["/chat/completions", "/responses", "/completions"])
def path(request) -> str:
    return request.param


def ask(path: str, model: str) -> dict:
    return {"/chat/completions": chat(model)}.get(path, {"model": model, "input": "Hello", "prompt": "Hello"})


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (409, openai.ConflictError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (529, openai.InternalServerError),
    ],
)
async def test_a_status_becomes_the_clients_exception(sim, client, status, kind):
    with pytest.raises(kind) as caught:
        await client.chat.completions.create(**chat(f"gpt-4o@status={status}"))
    assert caught.value.status_code == status
    assert caught.value.type
    assert (sim.requests[-1].outcome, sim.requests[-1].status) == ("faulted", status)


async def test_retry_headers_come_with_the_status(http):
    reply = await http.post("/chat/completions", json=chat("m@status=429,retry_after=3,retry_after_ms=300"))
    assert (reply.headers["retry-after"], reply.headers["retry-after-ms"]) == ("3", "300")
    reply = await http.post("/chat/completions", json=chat("m@status=429"))
    assert "retry-after" not in reply.headers


async def test_times_counts_per_full_model_name(http):
    async def statuses(model: str, count: int) -> list[int]:
        return [(await http.post("/chat/completions", json=chat(model))).status_code for _ in range(count)]

    assert await statuses("m@status=503,times=2", 4) == [503, 503, 200, 200]
    assert await statuses("other@status=503,times=2", 1) == [503]


async def test_the_client_retries_until_the_fault_is_used_up(sim):
    async with openai.AsyncOpenAI(base_url=sim.base_url, api_key="k", max_retries=2) as client:
        reply = await client.chat.completions.create(**chat("m@status=503,times=2,retry_after_ms=1"))
    assert reply.choices[0].message.content
    assert [entry.status for entry in sim.requests] == [503, 503, 200]
    assert sim.requests[-1].headers["x-stainless-retry-count"] == "2"


async def test_latency_delays_the_answer(http):
    started_s = time.monotonic()
    await http.post("/chat/completions", json=chat("m@latency=0.15"))
    assert time.monotonic() - started_s >= 0.14


async def test_a_whole_answer_takes_as_long_as_its_tokens(http):
    started_s = time.monotonic()
    await http.post("/chat/completions", json=chat("m@ttft=0.05,tps=100,tokens=10"))
    assert time.monotonic() - started_s >= 0.14


async def test_a_stream_starts_after_ttft_and_runs_at_tps(http):
    started_s = time.monotonic()
    body = chat("m@ttft=0.5,tps=50,tokens=6", stream=True)
    async with http.stream("POST", "/chat/completions", json=body) as reply:
        moments = [time.monotonic() - started_s async for text in reply.aiter_lines() if '"content":' in text]
    assert moments[0] >= 0.49
    assert moments[-1] >= 0.59
    async with http.stream("POST", "/chat/completions", json=chat("m@ttft=600", stream=True)) as reply:
        assert reply.status_code == 200, "its head comes before the first token"


async def test_a_response_stream_opens_before_the_first_token(http):
    async with http.stream("POST", "/responses", json={**ask("/responses", "m@ttft=30"), "stream": True}) as reply:
        lines = reply.aiter_lines()
        opening: list[str] = []
        async for line in lines:
            opening += [line] if line.startswith("event:") else []
            if len(opening) == 2:
                break
    assert opening == ["event: response.created", "event: response.in_progress"]


async def test_a_reset_comes_before_any_byte(sim, http):
    with pytest.raises(httpx.ReadError):
        await http.post("/chat/completions", json=chat("m@reset"))
    await sim.wait_until(lambda log: log.open_count == 0)
    assert (sim.requests[-1].outcome, sim.requests[-1].status) == ("faulted", None)


async def test_a_hanging_request_ends_when_the_client_leaves(sim, http):
    request = asyncio.create_task(http.post("/chat/completions", json=chat("m@hang")))
    await sim.wait_until(lambda log: log.open_count == 1)
    request.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await request
    await sim.wait_until(lambda log: log.open_count == 0)
    entry = sim.requests[-1]
    assert (entry.outcome, entry.status) == ("client_disconnected", None)


@pytest.mark.parametrize("modifier", ["latency=60", "ttft=60", "stall=3", "tps=1,tokens=500"])
async def test_a_client_that_leaves_is_noticed_in_every_wait(sim, http, path, modifier):
    body = {**ask(path, f"m@{modifier}"), "stream": True}
    with pytest.raises(httpx.ReadTimeout):
        await http.post(path, json=body, timeout=0.2)
    await sim.wait_until(lambda log: log.open_count == 0)
    assert sim.requests[-1].outcome == "client_disconnected"


async def test_an_unpaced_stream_stops_when_the_client_leaves(sim, http):
    async with http.stream("POST", "/chat/completions", json=chat("m@tokens=50000", stream=True)) as reply:
        async for _ in reply.aiter_raw():
            break
    await sim.wait_until(lambda log: log.open_count == 0)
    assert sim.requests[-1].outcome == "client_disconnected"
    assert sim.requests[-1].frames < 50_000


async def test_a_client_that_leaves_while_sending_is_noticed(sim):
    port = int(sim.origin.rpartition(":")[2])
    for path in ("/v1/chat/completions", "/sim/script"):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n{{".encode())
        await writer.drain()
        if path.startswith("/v1"):
            await sim.wait_until(lambda log: log.open_count == 1)
        writer.close()
        await writer.wait_closed()
        await sim.wait_until(lambda log: log.open_count == 0)
    assert [entry.outcome for entry in sim.requests] == ["client_disconnected"]


async def test_a_cut_stream_breaks_off_after_its_frames(sim, http, path):
    frames, error = await read_frames(http, path, ask(path, "m@cut=5"))
    assert isinstance(error, httpx.RemoteProtocolError)
    assert len(frames) == 5
    await sim.wait_until(lambda log: log.open_count == 0)
    assert (sim.requests[-1].outcome, sim.requests[-1].frames) == ("faulted", 5)


async def test_a_cut_beyond_the_stream_still_comes_before_its_end(http, path):
    frames, error = await read_frames(http, path, ask(path, "m@cut=9999"))
    assert isinstance(error, httpx.RemoteProtocolError)
    assert "[DONE]" not in frames[-1]
    assert "response.completed" not in frames[-1]


async def test_a_cut_answer_is_shorter_than_announced(http):
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        await http.post("/chat/completions", json=chat("m@cut=5"))


async def test_a_stalled_answer_never_ends(sim, http):
    with pytest.raises(httpx.ReadTimeout):
        await http.post("/chat/completions", json=chat("m@stall=5"), timeout=0.1)
    await sim.wait_until(lambda log: log.open_count == 0)
    assert (sim.requests[-1].outcome, sim.requests[-1].status) == ("client_disconnected", 200)


async def test_a_stalled_stream_delivers_its_frames_first(http, path):
    frames: list[str] = []
    async with http.stream("POST", path, json={**ask(path, "m@stall=3"), "stream": True}) as reply:
        async for line in reply.aiter_lines():
            frames += [line] if line.startswith("data:") else []
            if len(frames) == 3:
                break
    assert len(frames) == 3


@pytest.mark.parametrize("at", [3, 9999])
async def test_a_bad_chunk_cannot_be_parsed_and_the_stream_goes_on(sim, http, path, at):
    good, _ = await read_frames(http, path, ask(path, "m"))
    frames, error = await read_frames(http, path, ask(path, f"m@bad_chunk={at}"))
    assert error is None
    assert len(frames) == len(good) + 1
    bad = frames[min(at, len(good) - 1)].removeprefix("data: ")
    with pytest.raises(json.JSONDecodeError):
        json.loads(bad)
    assert sim.requests[-1].outcome == "faulted"


async def test_a_bad_answer_is_half_a_body(http):
    reply = await http.post("/chat/completions", json=chat("m@bad_chunk=1"))
    assert reply.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        reply.json()


async def test_without_done_the_stream_just_ends(sim, http, path):
    frames, error = await read_frames(http, path, ask(path, "m@no_done"))
    assert error is None
    assert "[DONE]" not in frames[-1]
    assert "response.completed" not in frames[-1]
    assert sim.requests[-1].outcome == "faulted"


async def test_an_error_event_ends_the_stream(client, http):
    stream = await client.chat.completions.create(**chat("m@error_event=3", stream=True))
    with pytest.raises(openai.APIError, match="failed in the middle"):
        assert [chunk async for chunk in stream]
    frames, _ = await read_frames(http, "/responses", ask("/responses", "m@error_event=3"))
    event = json.loads(frames[-1].split("data: ")[1])
    assert (event["type"], event["sequence_number"], len(frames)) == ("error", 3, 4)


async def test_an_error_event_of_a_whole_answer_is_a_server_error(client):
    with pytest.raises(openai.InternalServerError):
        await client.chat.completions.create(**chat("m@error_event=3"))


async def test_the_earliest_of_several_faults_strikes(http):
    frames, error = await read_frames(http, "/chat/completions", chat("m@error_event=5,cut=2"))
    assert len(frames) == 2
    assert error is not None
    frames, error = await read_frames(http, "/chat/completions", chat("m@error_event=2,cut=5"))
    assert "error" in frames[-1]
    assert error is None


async def test_a_wrong_modifier_is_named(http):
    reply = await http.post("/chat/completions", json=chat("m@latncy=2"))
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_modifier")
    assert "latncy" in reply.json()["error"]["message"]
