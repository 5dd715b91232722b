"""A caller who leaves a call without a stream is booked what the provider reported for it (contract 9)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from api.http.disconnect import Hangup
from shared.cache.flights import Flights
from shared.cache.policy import CachePolicy
from shared.cache.use import CacheUse
from shared.errors import ClientGone
from shared.inference.call import Call
from shared.surfaces.request_types import CHAT
from tests.api.conftest import ADMIN_KEY, KEY_A, Gateway, Start
from tests.rogue import Rogue
from tests.waiting import wait_until

PRICE = {"input": 1, "output": 10}
BODY = {"model": "openai/gpt-4o", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 900}
ANSWER = orjson.dumps(
    {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 12, "total_tokens": 19},
    }
)


@dataclass
class HeldUpstream(Rogue):
    """An upstream that answers when it is released."""

    released: asyncio.Event = field(default_factory=asyncio.Event)
    closed: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        self.bodies.append(await reader.readexactly(length))
        release, end = (asyncio.create_task(waiting) for waiting in (self.released.wait(), reader.read(1)))
        await asyncio.wait((release, end), return_when=asyncio.FIRST_COMPLETED)
        self.closed += end.done()
        release.cancel()
        end.cancel()
        writer.write(self.reply)
        writer.close()


@pytest.fixture
async def upstream() -> AsyncIterator[HeldUpstream]:
    held = HeldUpstream()
    server = await asyncio.start_server(held.serve, "127.0.0.1", 0)
    held.port = server.sockets[0].getsockname()[1]
    async with server:
        yield held


@pytest.fixture
async def gateway(start: Start, upstream: HeldUpstream) -> Gateway:
    retry = {"max_attempts": 3, "backoff_initial_s": 0}
    return await start(
        auth={"admin_key": ADMIN_KEY},
        providers={"openai": {"base_url": upstream.url, "keys": [{"value": "sk-upstream-0123456789"}], "retry": retry}},
        prices={"openai/*": PRICE},
        virtual_keys={"a": {"value": KEY_A, "budget": {"limit_usd": 100}}},
    )


async def leave(gateway: Gateway, upstream: HeldUpstream, path: str = "/v1/chat/completions", *headers: str) -> None:
    """Send a call, and hang up once its provider has it; return when the gateway has noticed."""
    sent = orjson.dumps(BODY)
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    lines = ("host: x", "content-type: application/json", f"content-length: {len(sent)}", f"x-bf-vk: {KEY_A}")
    writer.write("\r\n".join([f"POST {path} HTTP/1.1", *lines, *headers, "", ""]).encode() + sent)
    await wait_until(lambda: upstream.bodies, 30)
    writer.close()
    server = gateway.server  # type: ignore[attr-defined]
    await wait_until(lambda: not server.server_state.connections, 30)


async def booked(gateway: Gateway) -> dict[str, Any]:
    found: list[dict[str, Any]] = []

    async def there() -> bool:
        lines = await gateway.services.commands.execute("XRANGE", "finops:ledger", "-", "+")
        found[:] = [orjson.loads(fields[1]) for _, fields in lines]
        return bool(found)

    await wait_until(there, 30)
    (entry,) = found
    assert await gateway.services.commands.execute("ZCARD", "finops:holds") == 0
    return entry


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/anthropic/v1/messages"])
async def test_the_answer_is_read_and_booked_at_what_it_cost(
    gateway: Gateway, upstream: HeldUpstream, path: str
) -> None:
    upstream.answer("200 OK", ANSWER)
    await leave(gateway, upstream, path)
    upstream.released.set()
    entry = await booked(gateway)
    assert (entry["status"], entry["code"]) == (499, "client_closed_request")
    assert (entry["input"], entry["output"], entry["cost"]) == (7, 12, 7 * 1 + 12 * 10)
    assert "estimated" not in entry
    assert upstream.closed == 0


async def test_a_provider_that_fails_is_not_asked_again_and_nothing_is_charged(
    gateway: Gateway, upstream: HeldUpstream
) -> None:
    upstream.answer("500 Broken", b'{"error":{"message":"no"}}')
    await leave(gateway, upstream)
    upstream.released.set()
    entry = await booked(gateway)
    assert (entry["status"], entry.get("cost", 0), entry.get("output", 0)) == (499, 0, 0)
    assert len(upstream.bodies) == 1


async def test_a_provider_that_takes_too_long_is_cut_off_and_the_reservation_charged(
    gateway: Gateway, upstream: HeldUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.http.disconnect.LONGEST_READ_S", 0)
    await leave(gateway, upstream)
    entry = await booked(gateway)
    assert (entry["status"], entry["output"], entry["estimated"]) == (499, 900, True)
    await wait_until(lambda: upstream.closed == 1, 30)


async def test_a_call_that_would_become_a_job_becomes_none_for_a_caller_who_left(
    gateway: Gateway, upstream: HeldUpstream
) -> None:
    upstream.answer("429 Too Many", b'{"error":{"message":"no room"}}')
    await leave(gateway, upstream, "/v1/chat/completions", "x-bf-async: overflow")
    upstream.released.set()
    await booked(gateway)
    assert await gateway.worker.work_off() == 0


class Line:
    """A ``receive`` of another server: a disconnect when the test says so."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    async def receive(self) -> dict[str, str]:
        await self.gone.wait()
        return {"type": "http.disconnect"}


async def answering(line: Line, call: Call, entered: Callable[[Hangup], None]) -> None:
    with Hangup(line.receive, call) as hangup:
        entered(hangup)
        await asyncio.Event().wait()


async def test_an_answer_that_others_wait_for_is_read_to_its_end_past_the_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.http.disconnect.LONGEST_READ_S", 0)
    use = CacheUse(policy=CachePolicy(ttl_s=60), scope="s")
    use.flight = flight = Flights().start("e", 0.0)
    call = Call(request_type=CHAT, model="m", body=b"{}", fields={}, cache=use)
    found: list[Hangup] = []
    task = asyncio.create_task(answering(Line(), call, found.append))
    await wait_until(lambda: found, 30)
    assert call.presence is found[0]
    found[0].reads_on = True
    follower = asyncio.create_task(flight.wait())
    await wait_until(lambda: flight._waiting, 30)
    found[0]._end()
    assert not found[0].left  # somebody waits
    other = asyncio.create_task(flight.wait())
    await wait_until(lambda: len(flight._waiting) == 2, 30)
    follower.cancel()
    await asyncio.wait([follower])
    assert not found[0].left
    other.cancel()
    await asyncio.wait([other])
    found[0]._end()  # a second time changes nothing
    with pytest.raises(ClientGone):
        await task
    assert found[0].left


async def test_a_call_that_two_watchers_stop_in_one_turn_ends_as_one_whose_caller_left() -> None:
    call = Call(request_type=CHAT, model="m", body=b"{}", fields={})
    found: list[Hangup] = []
    task = asyncio.create_task(answering(Line(), call, found.append))
    await wait_until(lambda: found, 30)
    found[0]._end()
    found[0]._end()
    with pytest.raises(ClientGone):
        await task
