"""What a call costs inside our process, without sockets: CPU time, the least of many batches.

    python bench/inside.py [--batches 400] [--only-doors] [--keep]

uvicorn's protocol, the whole application, the inference path and our upstream connections are the real ones; in place of
both sockets stand transports that keep what is written. Then parts are left out one at a time: what that spares is their
cost. System calls, the event loop's polling and the kernel's work come on top (some 40 us a call, 10 an event).
"""

import argparse
import asyncio
import contextlib
import gc
import os
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from unittest import mock

import orjson
import uvloop
from uvicorn.server import ServerState

from api import server
from api.app import create_app
from api.http.protocol import JoiningProtocol
from api.http.request_context import Reply, send_reply
from api.middleware.access_log import AccessLog
from bench import machine, samples
from bench.report import Report, number, table
from bench.socketless import END, SETTINGS, Inside, application, request_bytes
from shared.inference.call import Answer
from shared.providers.transport.dial import Dialer
from shared.settings.model import Settings
from shared.telemetry.logs import configure
from shared.telemetry.metrics import Metrics


async def measure(
    batches: int, *, outside: bool = False, lines: bool = True, streams: bool = True
) -> tuple[float, float]:
    """The least cost of a call and of a streamed event, us."""
    async with application({"log": {"requests": lines}}, outside=outside) as inside:
        return await _measure(inside, batches, streams=streams)


async def _measure(inside: Inside, batches: int, *, streams: bool) -> tuple[float, float]:
    whole, streamed = (request_bytes(samples.request("mock/gpt-4o", **more)) for more in ({}, {"stream": True}))
    for _ in range(20):
        await inside.calls(whole)
    gc.collect()
    gc.freeze()
    gc.disable()
    call_us = min([await inside.calls(whole) for _ in range(batches)])
    if not streams:
        gc.enable()
        return call_us, float("nan")
    await inside.calls(streamed)
    for _ in range(20):
        await asyncio.sleep(0)
    event_us = min([await inside.events() for _ in range(batches)])
    for upstream in inside.upstreams:
        upstream.data_received(END)
    for _ in range(20):
        await asyncio.sleep(0)
    gc.enable()
    return call_us, event_us


class NoHangup:
    def __init__(self, _receive, _use=None) -> None: ...

    def __enter__(self):
        return self

    def __exit__(self, *_about) -> None: ...


@contextlib.contextmanager
def without(name: str) -> Iterator[dict[str, bool]]:
    """One part left out."""
    with contextlib.ExitStack() as exits:
        if name == "metrics":
            for method in ("request", "attempt"):
                exits.enter_context(mock.patch.object(Metrics, method, _nothing))
        elif name == "hang-up watch":
            exits.enter_context(mock.patch("api.routes.inference.Hangup", NoHangup))
        elif name == "access log (line, metrics of the request)":
            exits.enter_context(mock.patch.object(AccessLog, "__call__", _pass_on))
        yield {"outside": name.startswith("framework"), "lines": name != "log line"}


def _nothing(*_told, **_more) -> None: ...


async def _pass_on(self, scope, receive, send) -> None:
    await self._app(scope, receive, send)


def _cut(place: str, instead: object) -> Callable[[], contextlib.AbstractContextManager[object]]:
    return lambda: mock.patch(place, instead)


async def _reply(_self, _scope, _receive, send) -> None:
    await send_reply(send, Reply(200, samples.ANSWER))


async def _answer(_self, _call) -> Answer:
    return Answer(status=200, body=samples.ANSWER)


class _Exchange:
    status, content_type, headers = 200, "application/json", {}

    async def read(self) -> bytes:
        return samples.ANSWER

    def close(self) -> None: ...


async def _open(_self, *_told, **_more) -> _Exchange:
    return _Exchange()


class _Raw:
    status, headers = 200, ((b"content-type", b"application/json"), (b"content-length", b"988"), (b"server", b"x"))

    def header(self, _name: bytes) -> bytes:
        return b"application/json"

    async def read(self, _max_bytes: int) -> bytes:
        return samples.ANSWER

    def close(self) -> None: ...


async def _send(_self, *_told, **_more) -> _Raw:
    return _Raw()


CUTS = {
    "protocol, framework, middleware, access log": _cut("api.routes.inference.InferenceEndpoint.__call__", _reply),
    "... and endpoint: caller, body, call": _cut("shared.inference.inference.Inference.answer", _answer),
    "... and inference: route, attempts, translation": _cut("shared.providers.client.ProviderClient.open", _open),
    "... and client: gate, host, head": _cut("shared.providers.transport.upstream.UpstreamTransport.send", _send),
}
PARTS = (
    "framework's own layers", "log line", "metrics", "access log (line, metrics of the request)", "hang-up watch",
)  # fmt: skip


class Unguarded(JoiningProtocol):
    """The protocol without limits."""

    def __init__(self, *args, limits, **options) -> None:
        super().__init__(*args, **options)


def _parsed(body: bytes) -> dict:
    return orjson.loads(body)


DOORS: dict[str, tuple[tuple[str, object], ...]] = {
    "limits of connections and requests": (),
    "checks of nesting and of a repeated model": (("shared.surfaces.request_body.read_object", _parsed),),
    "one key's calls at once": (("api.http.call_slots.CallSlots.hold", lambda *_: contextlib.nullcontext()),),
}
"""What an attacker meets on the way of each call; the first is the protocol, the others are functions left out."""
PROTOCOL = next(iter(DOORS))
ALL_DOORS = "all of these"


async def _pairs(batches: int) -> dict[str, list[tuple[float, float]]]:
    """Return what a call takes with a check against what it takes without, as ratios of neighbouring batches."""
    settings = Settings.model_validate(SETTINGS)
    app = create_app(settings)
    request = request_bytes(samples.request("mock/gpt-4o"))
    with open(os.devnull, "w") as nowhere:
        configure(settings.log, "api", nowhere)
        async with app.router.lifespan_context(app):
            insides = []
            for protocol in (server.GuardedProtocol, Unguarded):
                with mock.patch("api.server.GuardedProtocol", protocol):
                    config = server.server_config(app, settings)
                config.load()
                insides.append(Inside(partial(config.http_protocol_class, config, ServerState(), {})))
            guarded, bare = insides
            with mock.patch.object(Dialer, "dial", lambda _self, *arguments: guarded.dial(*arguments)):
                for _ in range(20):
                    await guarded.calls(request)
                    await bare.calls(request)
                gc.collect()
                gc.freeze()
                gc.disable()
                every = tuple(cut for cuts in DOORS.values() for cut in cuts)
                found: dict[str, list[tuple[float, float]]] = {}
                for name, cuts in {**DOORS, ALL_DOORS: every}.items():
                    other = bare if name in {PROTOCOL, ALL_DOORS} else guarded
                    found[name] = [await _ratio(guarded, other, cuts, request, at) for at in range(batches)]
    return found


async def _ratio(guarded: Inside, other: Inside, cuts, request: bytes, at: int) -> tuple[float, float]:
    """Time a batch with the checks and one without, in turns first; return their ratio, and us with the checks."""
    if at % 2:
        checked = await guarded.calls(request)
    with contextlib.ExitStack() as exits:
        for place, instead in cuts:
            exits.enter_context(mock.patch(place, instead))
        without_it = await other.calls(request)
    if not at % 2:
        checked = await guarded.calls(request)
    return checked / without_it, checked


def _doors(batches: int) -> str:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(_pairs(batches))
    rows = []
    for name, ratios in found.items():
        low, middle, high = (100 * (part - 1) for part in statistics.quantiles([ratio for ratio, _ in ratios], n=4))
        us = statistics.median(us for _, us in ratios)
        more = us - us / (1 + middle / 100)
        rows.append([name, f"{middle:+.1f} %", f"{low:+.1f} to {high:+.1f} %", number(more), number(us)])
    return table(["", "more CPU a call, median of pairs", "middle half of the pairs", "us more", "of us a call"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=400)
    parser.add_argument("--keep", action="store_true", help="make the tables the current ones in RESULTS.md")
    parser.add_argument("--only-doors", action="store_true", help="only what an attacker meets on the way of each call")
    options = parser.parse_args()
    report = Report("Inside our process, without sockets", [machine.shape(), f"load average {machine.load():.1f}"])
    report.section("What an attacker meets, on the way of each call", _doors(options.batches))
    if not options.only_doors:
        _add_parts(report, options.batches)
    if options.keep:
        report.keep()


def _add_parts(report: Report, batches: int) -> None:
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(3):
        for name in ("", *PARTS):
            with without(name) as how, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                found.setdefault(name, []).append(runner.run(measure(batches, **how)))
    base = tuple(min(values) for values in zip(*found[""], strict=True))
    rows = [["all", number(base[0]), "", number(base[1]), ""]]
    for name in PARTS:
        call, event = (min(values) for values in zip(*found[name], strict=True))
        rows.append([f"without {name}", number(call), number(base[0] - call), number(event), number(base[1] - event)])
    report.section("What parts cost", table(["", "us/call", "spared", "us/event", "spared"], rows))
    layers = table(["only", "us/call", "more than before"], _layers(batches, base[0]))
    report.section("What layers cost, from the outside in", layers)


def _layers(batches: int, all_us: float) -> list[list[str]]:
    rows, before = [], 0.0
    for name, cut in CUTS.items():
        found = []
        for _ in range(3):
            with cut(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                found.append(runner.run(measure(batches, streams=False))[0])
        rows.append([name, number(min(found)), number(min(found) - before)])
        before = min(found)
    return [*rows, ["all: connection, parser, pool", number(all_us), number(all_us - before)]]


if __name__ == "__main__":
    main()
