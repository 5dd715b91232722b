"""Running it: as a process, inside a loop, under another server."""

import asyncio
import runpy
import signal
import socket
import sys

import httpx
import pytest
import uvloop

from simulator import exchange, serve
from simulator.__main__ import main
from simulator.app import create_app

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.process
async def test_the_command_serves_until_it_is_told_to_stop():
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulator", "--port", str(port), stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(20):
            while b"running on" not in await process.stderr.readline():
                assert process.returncode is None
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            assert (await http.post("/v1/chat/completions", json=CHAT)).status_code == 200
            assert (await http.get("/sim/health")).json()["total"] == 1
            with pytest.raises(httpx.ReadError):
                await http.post("/v1/chat/completions", json={**CHAT, "model": "m@reset"})
            with pytest.raises(httpx.RemoteProtocolError):
                await http.post("/v1/chat/completions", json={**CHAT, "model": "m@cut=1"})
        process.send_signal(signal.SIGTERM)
        rest = await asyncio.wait_for(process.stderr.read(), 10)
        assert b"ERROR" not in rest
    finally:
        if process.returncode is None:
            await process.wait()


def test_the_command_line_reaches_the_server(monkeypatch):
    seen = {}
    monkeypatch.setattr(
        serve.uvicorn.Server, "run", lambda server, sockets: seen.update(config=server.config, at=sockets[0])
    )
    monkeypatch.setattr(sys, "argv", ["simulator", "--host", "127.0.0.2", "--port", "0", "--api-key", "sk-a"])
    monkeypatch.delitem(sys.modules, "simulator.__main__")  # runpy warns of what is imported already
    runpy.run_module("simulator", run_name="__main__")
    with seen["at"] as listener:
        assert (listener.getsockname()[0], seen["config"].loop) == ("127.0.0.2", "uvloop")
    assert seen["config"].app._api_keys == frozenset({"sk-a"})


def test_faults_work_on_uvloop_too():
    async def meet_faults() -> list[str]:
        async with serve.running() as sim, httpx.AsyncClient(base_url=sim.base_url, trust_env=False) as http:
            for model in ("m@reset", "m@cut=1"):
                with pytest.raises(httpx.TransportError):
                    await http.post("/chat/completions", json={**CHAT, "model": model})
            await sim.wait_until(lambda log: log.open_count == 0)
            return [entry.outcome for entry in sim.requests]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(meet_faults()) == ["faulted", "faulted"]


async def test_leaving_closes_what_is_still_open():
    async with httpx.AsyncClient(trust_env=False) as http:
        async with serve.running() as sim:
            url = f"{sim.base_url}/chat/completions"
            request = asyncio.create_task(http.post(url, json={**CHAT, "model": "m@hang"}))
            await sim.wait_until(lambda log: log.open_count == 1)
        with pytest.raises(httpx.TransportError):
            await request
    assert sim.requests[0].outcome == "client_disconnected"


async def test_a_connection_serves_one_request_after_another(sim, http):
    for _ in range(3):
        await http.post("/chat/completions", json={**CHAT, "stream": True})
    assert sim.log.total == 3


async def test_too_large_a_body_is_refused(monkeypatch, sim, http):
    monkeypatch.setattr(exchange, "BODY_LIMIT_BYTES", 10)
    for url in ("/files", f"{sim.origin}/sim/script"):
        reply = await http.post(url, content=b"x" * 11)
        assert (reply.status_code, reply.json()["error"]["code"]) == (413, "request_too_large")


async def test_a_body_in_pieces_is_joined(sim, http):
    async def pieces():
        yield b'{"model":'
        yield b' "m", "input": "x"}'

    assert (await http.post("/embeddings", content=pieces())).status_code == 200
    assert sim.requests[0].body["model"] == "m"


async def test_a_server_without_the_extension_gets_an_exception():
    app = create_app()
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(base_url="http://sim", transport=transport) as http:
        with pytest.raises(ConnectionResetError, match=r"simulator\.serve"):
            await http.post("/v1/chat/completions", json={**CHAT, "model": "m@reset"})
    assert (app.log.open_count, app.log.entries[0].outcome) == (0, "faulted")


async def test_only_a_disconnect_ends_a_hanging_request():
    app = create_app()
    body = b'{"model": "m@hang"}'
    messages = [{"type": "http.request", "body": body}, {"type": "http.request"}, {"type": "http.disconnect"}]
    scope = {"type": "http", "method": "POST", "path": "/v1/embeddings", "query_string": b"", "headers": []}

    async def receive():
        return messages.pop(0)

    async def send(message):
        raise AssertionError(message)

    await app(scope, receive, send)
    assert messages == []
    assert app.log.entries[0].outcome == "client_disconnected"


async def test_the_lifespan_is_answered_and_websockets_are_not():
    app = create_app()
    received = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[str] = []

    async def receive():
        return next(received)

    async def send(message):
        sent.append(message["type"])

    await app({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    with pytest.raises(RuntimeError, match="websocket"):
        await app({"type": "websocket"}, receive, send)


def test_the_command_explains_itself(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "--api-key" in capsys.readouterr().out
