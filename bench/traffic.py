"""Upstream and caller in one process: one clock times what is sent and what arrives.

    python traffic.py UPSTREAM_PORT

Commands are lines of JSON on standard input, answers lines of JSON on standard output::

    {"do": "paced", "port", "head", "body", "rate", "seconds"}             whole answers, open loop, upstream takes 50 ms
    {"do": "streams", "port", "head", "body", "count", "seconds", "gap_s"} streams; gap_s 0: closed loop, see Streams

The upstream answers any POST: with ``"stream": true`` an event stream, else 1 KB of JSON after 50 ms; any GET: a list
of models. It is an asyncio protocol on httptools, on uvloop; nothing of ours is under test here.
"""

import asyncio
import json
import re
import sys
import time
from collections import deque
from typing import ClassVar

import httptools
import uvloop

from bench.records import quantile
from bench.samples import ANSWER, MODELS, chunk

DELAY_S = 0.05
EVENTS = 500
MARK = re.compile(rb"tok(\d{6}) ")
STREAM_ID = re.compile(rb"stream-(\d+)-")
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"


def _whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


JSON_ANSWER, JSON_MODELS = _whole(ANSWER), _whole(MODELS)
ENDING = (
    _framed(chunk({}, finish="stop"))
    + _framed(chunk(None, usage={"prompt_tokens": 20, "completion_tokens": EVENTS, "total_tokens": 20 + EVENTS}))
    + _framed(b"data: [DONE]\n\n")
    + b"0\r\n\r\n"
)
BEFORE, AFTER = chunk({"content": "tok%06d some"}).split(b"%06d")


def event(number: int) -> bytes:
    return _framed(BEFORE + b"%06d" % number + AFTER)


class Upstream(asyncio.Protocol):
    """One connection of a gateway to its provider."""

    def connection_made(self, transport):
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)
        self.body = b""

    def data_received(self, data):
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.close()

    def on_message_begin(self):
        self.body = b""

    def on_body(self, body):
        self.body += body

    def on_message_complete(self):
        if self.parser.get_method() != b"POST":
            self.transport.write(JSON_MODELS)
        elif b'"stream":true' in self.body or b'"stream": true' in self.body:
            self.transport.write(STREAM_HEAD + _framed(chunk({"role": "assistant", "content": ""})))
            found = STREAM_ID.search(self.body)
            stream = Streams.current.get(int(found.group(1))) if found else None
            if stream is None:
                self.transport.write(event(0) + ENDING)
            else:
                stream.opened(self.transport)
        else:
            Paced.answer_later(self)

    def answer(self):
        if not self.transport.is_closing():
            self.transport.write(JSON_ANSWER)


class Caller(asyncio.Protocol):
    """One connection to a gateway."""

    def __init__(self, owner):
        self.owner = owner
        self.done = None
        self.status = 0

    def connection_made(self, transport):
        self.transport = transport

    def ask(self, request, done):
        self.parser = httptools.HttpResponseParser(self)
        self.done = done
        self.transport.write(request)

    def data_received(self, data):
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.close()

    def on_body(self, body):
        self.owner.body_arrived(self, body)

    def on_message_complete(self):
        done, self.done = self.done, None
        if done is not None:
            done(self, self.parser.get_status_code(), self.parser.should_keep_alive())

    def connection_lost(self, error):
        done, self.done = self.done, None
        if done is not None:
            done(self, 0, False)


def request_bytes(head: str, body: bytes) -> bytes:
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


class Paced:
    """Whole answers at a rate, whoever is late: an idle connection is used again, else one is opened.

    While it runs this process never sleeps: the loop's timers tick in milliseconds, and requests and answers that go
    out in bursts of a tick would queue up in the gateway for no fault of its own.
    """

    MOST_CONNECTIONS = 3000
    due: ClassVar[deque[tuple[float, Upstream]]] = deque()
    running = 0

    @classmethod
    def answer_later(cls, upstream):
        if cls.running:
            cls.due.append((time.monotonic() + DELAY_S, upstream))
        else:
            asyncio.get_running_loop().call_later(DELAY_S, upstream.answer)

    @classmethod
    def answer_due(cls):
        due = cls.due
        while due and due[0][0] <= time.monotonic():
            due.popleft()[1].answer()

    def __init__(self, command):
        self.request = request_bytes(command["head"], command["body"].encode())
        self.port, self.rate, self.seconds = command["port"], command["rate"], command["seconds"]
        self.idle = []
        self.waits, self.failed, self.connections, self.live = [], 0, 0, 0

    def body_arrived(self, caller, body): ...

    async def run(self):
        loop = asyncio.get_running_loop()
        begun, number, measured_from = time.monotonic(), 0, time.monotonic() + 1
        total = int(self.rate * (self.seconds + 1))
        Paced.running += 1
        while number < total:
            self.answer_due()
            if begun + number / self.rate <= time.monotonic():
                number += 1
                self._send(loop, time.monotonic(), measured_from)
            await asyncio.sleep(0)
        deadline = time.monotonic() + 5
        while self.live and time.monotonic() < deadline:
            self.answer_due()
            await asyncio.sleep(0)
        Paced.running -= 1
        for _, upstream in self.due:
            upstream.answer()
        self.due.clear()
        self.failed += self.live
        for caller in self.idle:
            caller.transport.abort()
        took = time.monotonic() - begun
        return {
            "count": len(self.waits), "failed": self.failed, "connections": self.connections, "took": took,
            "p50": quantile(self.waits, 0.5) * 1000, "p99": quantile(self.waits, 0.99) * 1000,
        }  # fmt: skip

    def _send(self, loop, at, measured_from):
        def done(caller, status, again):
            self.live -= 1
            if status != 200:
                self.failed += 1
            elif at >= measured_from:
                self.waits.append(time.monotonic() - at)
            if again and status:
                self.idle.append(caller)
            else:
                caller.transport.close()

        self.live += 1
        while self.idle:
            caller = self.idle.pop()
            if not caller.transport.is_closing():
                caller.ask(self.request, done)
                return
        if self.connections >= self.MOST_CONNECTIONS:
            self.live, self.failed = self.live - 1, self.failed + 1
            return
        self.connections += 1
        loop.create_task(self._connect(loop, done))

    async def _connect(self, loop, done):
        try:
            _, caller = await loop.create_connection(lambda: Caller(self), "127.0.0.1", self.port)
        except OSError:
            self.live, self.failed = self.live - 1, self.failed + 1
            return
        caller.ask(self.request, done)


class Stream:
    """One stream after another by one caller; counts events both ways."""

    def __init__(self, streams, number):
        self.streams, self.number = streams, number
        self.upstream = None
        self.sent = self.seen = 0
        self.sent_at = deque()
        self.kept = b""

    async def begin(self):
        loop = asyncio.get_running_loop()
        try:
            _, caller = await loop.create_connection(lambda: Caller(self), "127.0.0.1", self.streams.port)
        except OSError:
            self.streams.failed += 1
            return
        self.ask(caller)

    def ask(self, caller):
        self.upstream, self.sent, self.seen, self.kept = None, 0, 0, b""
        self.sent_at.clear()
        caller.ask(self.streams.request(self.number), self.ended)

    def opened(self, transport):
        self.upstream = transport
        self.send()

    def send(self):
        """The next event; in a paced run one that is late is not waited for."""
        if self.upstream is None or self.upstream.is_closing():
            return
        if self.sent == EVENTS or self.streams.ending:
            self.upstream.write(ENDING)
            self.upstream = None
            return
        self.sent_at.append(time.monotonic())
        self.upstream.write(event(self.sent))
        self.sent += 1
        if self.streams.gap_s:
            asyncio.get_running_loop().call_later(self.streams.gap_s, self.send)

    def body_arrived(self, caller, body):
        now = time.monotonic()
        self.kept = (self.kept + body)[-4096:] if self.kept else body
        here, end = 0, 0
        for found in MARK.finditer(self.kept):
            end = found.end()
            if int(found.group(1)) == self.seen:
                self.seen += 1
                here += 1
                if self.sent_at:
                    self.streams.arrived(now - self.sent_at.popleft())
        self.kept = self.kept[end:] if end else self.kept
        if here > 1:
            self.streams.together += here - 1
        if here and not self.streams.gap_s:
            self.send()

    def ended(self, caller, status, again):
        streams = self.streams
        if status != 200 or (self.seen < self.sent):
            streams.failed += 1
        if streams.ending:
            streams.live -= 1
            caller.transport.close()
        elif again and status == 200:
            self.ask(caller)
        else:
            caller.transport.close()
            streams.tasks.append(asyncio.ensure_future(self.begin()))


class Streams:
    """Many streams at once.

    ``gap_s`` 0: an event is sent when the one before has arrived, so each crosses the gateway alone, and the gateway
    has as many to forward at a time as there are streams. Else each stream has an event each ``gap_s``.
    """

    current: ClassVar[dict[int, Stream]] = {}

    def __init__(self, command):
        self.port, self.gap_s, self.seconds = command["port"], command["gap_s"], command["seconds"]
        self.head, self.body = command["head"], command["body"]
        self.count = self.live = command["count"]
        self.events = self.together = self.failed = 0
        self.waits, self.tasks = [], []
        self.ending = False

    def request(self, number):
        return request_bytes(self.head, self.body.replace("hello", f"stream-{number}-", 1).encode())

    def arrived(self, wait_s):
        self.events += 1
        self.waits.append(wait_s)

    async def run(self):
        """Warm up for a second, measure ``seconds``; the caller of this process reads CPU at both lines."""
        Streams.current = {number: Stream(self, number) for number in range(self.count)}
        await asyncio.gather(*(stream.begin() for stream in self.current.values()))
        await asyncio.sleep(1)
        self.events, self.together, self.waits = 0, 0, []
        say({"now": "measuring"})
        begun = time.monotonic()
        await asyncio.sleep(self.seconds)
        events, waits, took = self.events, self.waits, time.monotonic() - begun
        say({"now": "measured"})
        together, failed = self.together, self.failed
        self.ending = True
        for stream in self.current.values():
            stream.send() if stream.sent == stream.seen else None
        deadline = time.monotonic() + 3
        while self.live > 0 and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        unended = self.live
        Streams.current = {}
        return {
            "events": events, "took": took, "together": together, "failed": failed, "unended": unended,
            "p50": quantile(waits, 0.5) * 1000, "p99": quantile(waits, 0.99) * 1000,
        }  # fmt: skip


def say(what):
    print(json.dumps(what), flush=True)


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    await loop.create_server(Upstream, "127.0.0.1", port, backlog=2048)
    say({"now": "listening"})
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        command = json.loads(line)
        case = Paced(command) if command["do"] == "paced" else Streams(command)
        say(await case.run())


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1])))
