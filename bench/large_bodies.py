"""How long large request bodies hold the API's event loop at one piece.

    python -m bench.large_bodies [--mb 50] [--only CASE] [--keep]

An API process's application runs in this process on uvloop, before a provider that reads and answers; caller and
provider are processes of their own. A clock in the loop notes the longest time between two of its turns: wall time, and
CPU time of the loop's thread, which other processes do not disturb (but waits for the interpreter are not in it).
"""

import argparse
import asyncio
import gc
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import uvloop

from api.app import create_app
from api.server import ApiServer
from bench import machine
from bench.redis_servers import free_port, server
from bench.report import Report, table
from shared.cache.store import cache_scripts
from shared.jobs.scripts import engine_scripts
from shared.settings.model import Settings

MB = 1024 * 1024
PROVIDER = """
import asyncio, sys
ANSWERS = {b"messages": b'{"id":"m","type":"message","role":"assistant","model":"x","content":[{"type":"text","text":"ok"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}',
           b"responses": b'{"id":"resp_x","object":"response","created_at":1,"status":"completed","model":"x","output":[],"usage":{"input_tokens":1,"output_tokens":1,"total_tokens":2}}',
           b"embeddings": b'{"object":"list","data":[{"object":"embedding","index":0,"embedding":[' + b"-0.0123456789," * 2_000_000 + b'0.5]}],"model":"x","usage":{"prompt_tokens":1,"total_tokens":1}}',
           b"": b'{"id":"c","object":"chat.completion","created":1,"model":"x","choices":[{"index":0,"message":{"role":"assistant","content":"ok"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'}
async def serve(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\\r\\n\\r\\n")).lower()
            size = int(head.split(b"content-length:")[1].split()[0])
            while size:
                size -= len(await reader.read(min(size, 1 << 20)))
            answer = next(body for name, body in ANSWERS.items() if name in head.splitlines()[0])
            writer.write(b"HTTP/1.1 200 OK\\r\\ncontent-type: application/json\\r\\ncontent-length: %d\\r\\n\\r\\n" % len(answer) + answer)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
async def main():
    await (await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))).serve_forever()
asyncio.run(main())
"""
CALLER = """
import http.client, sys
port, path, file, *headers = sys.argv[1:]
print("ready", flush=True)
sys.stdin.read()
connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=120)
connection.request("POST", path, open(file, "rb").read(), dict(header.split(": ") for header in ["content-type: application/json", *headers]))
answer = connection.getresponse()
print(answer.status, answer.read()[:300].decode(errors="replace"))
"""


def chat(model: str, content: Callable[[int], object], count: int, **more: object) -> bytes:
    return json.dumps(
        {"model": model, "messages": [{"role": "user", "content": content(n)} for n in range(count)], **more}
    ).encode()


def cases(size: int) -> dict[str, tuple[str, bytes, tuple[str, ...]]]:
    """Return path, body and headers by the name of a case."""
    text = "The quick brown fox jumps over the lazy dog. "
    one = chat("up/x", lambda _: text * (size // len(text)), 1)
    many = chat("up/x", lambda _: text * (size // len(text) // 30_000), 30_000)
    escaped = chat("up/x", lambda _: 'say "model": \\n é' * (size // 24), 1)
    small = chat("up/x", lambda _: [{"type": "text", "text": "a"}], size // 70)
    claude = chat("claude/x", lambda _: text * (size // len(text) // 20_000), 20_000, max_tokens=10)
    dropped = chat("up/x", lambda _: text * (size // len(text) // 30_000), 30_000, fallbacks=["up/y"])
    response = json.dumps(
        {
            "model": "up/x",
            "input": [{"role": "user", "content": text * (size // len(text) // 30_000)} for _ in range(30_000)],
        }
    ).encode()
    embedded = json.dumps({"model": "up/x", "input": [text * (size // len(text) // 30_000)] * 30_000}).encode()
    path = "/v1/chat/completions"
    job = ("x-bf-async: true",)
    head = b'--bound\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    tail = b'\r\n--bound\r\ncontent-disposition: form-data; name="model"\r\n\r\nup/w\r\n--bound--\r\n'
    form, of_form = head + random.randbytes(size) + tail, ("content-type: multipart/form-data; boundary=bound",)
    return {
        "one text": (path, one, ()),
        "30,000 messages": (path, many, ()),
        "escaped text": (path, escaped, ()),
        "small objects (refused)": (path, small, ()),
        "30,000 messages, with fallbacks": (path, dropped, ()),
        "30,000 messages, cached": (path, many, ("x-bf-cache-key: a",)),
        "30,000 messages, to another wire": (path, claude, ()),
        "30,000 messages, Anthropic's surface": ("/anthropic/v1/messages", claude.replace(b"claude/x", b"up/x", 1), ()),
        "30,000 items, Responses": ("/v1/responses", response, ()),
        "embeddings of 30,000 texts, 27 MB answered": ("/v1/embeddings", embedded, ()),
        "a form with a file": ("/v1/audio/transcriptions", form, of_form),
        "a job of a form": ("/v1/audio/transcriptions", form, (*of_form, *job)),
        "a job of one text": (path, one, job),
        "a job of 30,000 messages": (path, many, job),
        "a job of Responses": ("/v1/responses", response.replace(b'"up/x"', b'"up/x","background":true', 1), ()),
    }


class Clock:
    """Notes the longest time between two turns of the running loop."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0
        self._last = (time.perf_counter(), time.thread_time())
        self._loop = asyncio.get_running_loop()
        self._tick()

    def _tick(self) -> None:
        now = (time.perf_counter(), time.thread_time())
        self.wall, self.cpu = max(self.wall, now[0] - self._last[0]), max(self.cpu, now[1] - self._last[1])
        self._last = now
        self._loop.call_later(0.001, self._tick)

    def reset(self) -> None:
        self.wall = self.cpu = 0.0
        self._last = (time.perf_counter(), time.thread_time())


class _Server(ApiServer):
    @contextmanager
    def capture_signals(self):
        yield


def _settings(url: str, provider: int, mb: int, cache: str) -> Settings:
    base = f"http://127.0.0.1:{provider}"
    upstream = {"keys": [{"value": "sk-upstream-0123456789"}], "retry": {"max_attempts": 1}}
    return Settings.model_validate(
        {
            "redis": {"url": url},
            "auth": {"require_virtual_key": False},
            "log": {"requests": False},
            "cache": {"mode": cache},
            "server": {"max_body_mb": mb + 20},
            "providers": {
                "up": {"wire": "openai", "base_url": base, **upstream},
                "claude": {"wire": "anthropic", "base_url": base, **upstream},
            },
        }
    )


async def measure(url: str, provider: int, directory: Path, mb: int, only: str) -> list[list[str]]:
    found = []
    wanted = {name: case for name, case in cases(mb * MB).items() if only in name}
    for cache in ("off", "exact"):
        chosen = {name: case for name, case in wanted.items() if ("cached" in name) == (cache == "exact")}
        if not chosen:
            continue
        settings = _settings(url, provider, mb, cache)
        listener = socket.create_server(("127.0.0.1", 0))
        api = _Server(create_app(settings, environ={}), settings)
        task = asyncio.create_task(api.serve(sockets=[listener]))
        while not api.started:
            await asyncio.sleep(0.05)
        gc.collect()
        gc.freeze()
        clock = Clock()
        for name, (path, body, headers) in chosen.items():
            file = directory / "body"
            await asyncio.to_thread(file.write_bytes, body)
            caller = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                CALLER,
                str(listener.getsockname()[1]),
                path,
                str(file),
                *headers,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            await caller.stdout.readline()
            await asyncio.sleep(0.2)  # starting a process from one of this size holds the loop, too
            clock.reset()
            started = time.perf_counter()
            out, _ = await caller.communicate(b"")  # the end of its input is its start
            took = time.perf_counter() - started
            status, _, answer = out.decode().partition(" ")
            row = [
                name,
                f"{len(body) / MB:.0f}",
                status,
                f"{took:.2f}",
                f"{clock.wall * 1000:.0f}",
                f"{clock.cpu * 1000:.0f}",
            ]
            print(*row, answer[:90].strip() if status != "200" else "", sep=" | ", flush=True)
            found.append(row)
        api.should_exit = True
        await task
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--mb", type=int, default=50)
    parser.add_argument("--only", default="", help="cases whose names have this")
    parser.add_argument("--keep", action="store_true", help="make the table the current one in RESULTS.md")
    options = parser.parse_args()
    engine_scripts(), cache_scripts()
    report = Report("Large bodies", [machine.shape(), f"load {machine.load():.1f}"])
    port = free_port()
    provider = subprocess.Popen([sys.executable, "-c", PROVIDER, str(port)])
    try:
        with tempfile.TemporaryDirectory() as directory, server(Path(directory) / "server") as store:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                found = runner.run(measure(store.url, port, Path(directory), options.mb, options.only))
    finally:
        provider.kill()
        provider.wait()
    head = ["body", "MiB", "status", "seconds", "longest hold of the loop, ms", "of it CPU of the loop's thread, ms"]
    report.section("Longest hold of the event loop", table(head, found))
    if options.keep:
        report.keep()
    return 0


if __name__ == "__main__":
    sys.exit(main())
