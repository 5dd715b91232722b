"""Us beside other gateways, in one run: a call's CPU, requests/s, added latency, streams, memory, start, size.

    python bench/gateway.py [--quick] [--only us,litellm] [--seconds 2] [--rounds 2] [--profile] [--keep]

It makes each peer's own environment under ``.bench/`` (from PyPI or npm, once). A gateway is one process on one core;
its callers, its upstream and our Redis share the other. See README.md.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench import gateways, hot_lines, machine, own_calls, results_file, samples
from bench.gateways import Gateway, Running
from bench.load import Traffic, Window, nginx, window
from bench.report import Report, number, ratio, run_line, table
from bench.store_server import StoreServer

GATEWAY_CORE, OTHER_CORE = {0}, {1}
RATE, DELAY_MS, STREAMS = 1900, 50, 32
DIRECT = "direct"


@dataclass
class Figures:
    """What was measured of one gateway, over all rounds."""

    windows: dict[int, list[Window]] = field(default_factory=dict)  # by connections
    paced: list[dict[str, Any]] = field(default_factory=list)
    full: list[dict[str, Any]] = field(default_factory=list)
    calm: list[dict[str, Any]] = field(default_factory=list)
    idle_mb: list[float] = field(default_factory=list)
    loaded_mb: list[float] = field(default_factory=list)
    starts_s: list[float] = field(default_factory=list)

    def best(self, connections: int, name: str) -> float:
        return _low(getattr(w, name) for w in self.windows.get(connections, []))

    def middle(self, connections: int, name: str) -> float:
        return _middle(getattr(w, name) for w in self.windows.get(connections, []))

    def most_per_s(self, connections: int = 64) -> float:
        return max((w.per_s for w in self.windows.get(connections, [])), default=float("nan"))


def _known(values: Any) -> list[float]:
    return sorted(v for v in values if v == v)


def _low(values: Any) -> float:
    return min(_known(values), default=float("nan"))


def _middle(values: Any) -> float:
    known = _known(values)
    return known[len(known) // 2] if known else float("nan")


class Run:
    """One run: who is compared, on which upstreams."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.seconds = 1 if options.quick else options.seconds
        self.rounds = 1 if options.quick else options.rounds
        self.store = StoreServer(options.server, cores=OTHER_CORE)
        self.gateways = gateways.chosen(self.store.url, [word for word in options.only.split(",") if word])
        self.unfit: dict[str, str] = {}
        for gateway in self.gateways:
            try:
                gateway.install()
            except Exception as error:
                self.unfit[gateway.name] = repr(error)
        self.found: dict[str, Figures] = {DIRECT: Figures()}
        self.loads: list[float] = []
        versions = [g.version() for g in self._fit()]
        self.report = Report(
            "Gateway" + (" (quick)" if options.quick else ""),
            [
                machine.shape(),
                f"one process on one core; wrk, nginx or the event upstream, and {self.store.version} on the other",
                ", ".join(version for version in versions if version) or "no peers",
                f"rounds: {self.rounds}, in turns, windows of {self.seconds} s; {_circumstances()}",
            ],
        )

    def _fit(self) -> list[Gateway]:
        return [g for g in self.gateways if g.name not in self.unfit]

    def measure(self) -> None:
        """Everybody once, then everybody again; one that fails is reported and skipped from then on."""
        self.traffic = Traffic(OTHER_CORE)
        with nginx(OTHER_CORE) as upstream:
            for turn in range(self.rounds):
                self._direct(upstream)
                for gateway in self._fit():
                    print(f"{turn + 1}/{self.rounds} {gateway.name}, load {machine.load():.1f}", file=sys.stderr)
                    self.loads.append(machine.load())
                    figures = self.found.setdefault(gateway.name, Figures())
                    try:
                        self._calls(gateway, upstream, figures)
                        self._slow_and_streamed(gateway, figures)
                    except Exception as error:
                        print(f"{gateway.name}: {error!r}", file=sys.stderr)
                        self.unfit[gateway.name] = repr(error)[:300]
        self.traffic.close()

    def _direct(self, upstream: int) -> None:
        direct, body = self.found[DIRECT], samples.request("gpt-4o")
        url = f"http://127.0.0.1:{upstream}/v1/chat/completions"
        for connections in (1, 64):
            measured = window(url, ["content-type: application/json"], body, connections, self.seconds, OTHER_CORE)
            direct.windows.setdefault(connections, []).append(measured)
        head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
        direct.paced.append(self._paced(self.traffic.port, head, body, RATE))

    def _paced(self, port: int, head: str, body: str, rate: float) -> dict[str, Any]:
        command = {"do": "paced", "port": port, "head": head, "body": body, "rate": rate}
        return {**self.traffic.run({**command, "seconds": self.seconds + 1}), "rate": rate}

    def _calls(self, gateway: Gateway, upstream: int, figures: Figures) -> None:
        with gateways.running(gateway, upstream, GATEWAY_CORE) as running:
            figures.starts_s.append(running.cold_start_s)
            time.sleep(0.5)
            figures.idle_mb.append(running.rss_mb())
            ask = self._wrk(running)
            _settle(lambda: ask(8, 1).p99_ms < 1000)
            for connections, windows, seconds in (
                (8, 3, self.seconds),
                (64, 3, self.seconds),
                (1, 1, self.seconds + 1),
            ):
                many = [ask(connections, seconds) for _ in range(windows)]
                figures.windows.setdefault(connections, []).extend(many)
            figures.loaded_mb.append(running.rss_mb())

    def _wrk(self, running: Running) -> Callable[[int, float], Window]:
        gateway = running.gateway
        headers = ["content-type: application/json", *gateway.headers]
        body = samples.request(gateway.model)

        def ask(connections: int, seconds: float) -> Window:
            url = running.address + gateway.path
            measured = window(url, headers, body, connections, seconds, OTHER_CORE, running)
            if measured.failed:
                print(f"{gateway.name}: {measured.failed} of {measured.requests} failed", file=sys.stderr)
            return measured

        return ask

    def _slow_and_streamed(self, gateway: Gateway, figures: Figures) -> None:
        most = figures.most_per_s()
        rate = RATE if most > RATE * 1.3 else most / 2
        with gateways.running(gateway, self.traffic.port, GATEWAY_CORE) as running:
            figures.starts_s.append(running.cold_start_s)
            head, body = running.gateway.request_head(), samples.request(gateway.model)
            _settle(lambda: self._paced(running.port, head, body, min(rate, 100))["p99"] < 1000)
            figures.paced.append(self._paced(running.port, head, body, rate))
            body = samples.request(gateway.model, stream=True)
            command = {"do": "streams", "port": running.port, "head": head, "body": body, "count": STREAMS}
            for gap_s, kept in ((0.04, figures.calm), (0, figures.full)):
                kept.append(self.traffic.run({**command, "gap_s": gap_s, "seconds": self.seconds}, running))

    def tell(self) -> None:
        """The tables."""
        self._tell_calls()
        self._tell_latency()
        self._tell_streams()
        self._tell_footprint()
        if self.unfit:
            lines = "".join(f"- {name}: {why}\n" for name, why in self.unfit.items())
            self.report.section("Not measured, or not to the end", lines)

    def beside_us(self) -> str:
        """The README's table: every gateway's best figures as times ours."""

        def cells(it: Figures) -> list[float]:
            streamed = _low(s["cpu_us"] for s in it.full)
            return [it.best(64, "cpu_us"), it.most_per_s(), streamed, _low(it.idle_mb), _low(it.starts_s)]

        versions = {g.name: g.version() or "FinOps" for g in self._fit()}

        def row(name: str, it: Figures, ours: Figures) -> list[str]:
            pairs = zip(cells(it), cells(ours), strict=True)
            return [ratio(theirs, base).strip(" ()") or "-" for theirs, base in pairs]

        rows = [[versions.get(name, name), *rest] for name, *rest in self._rows(row)]
        head = [
            "gateway",
            "CPU of a call, 64 connections",
            "calls/s",
            "CPU of a streamed event",
            "memory, idle",
            "start",
        ]
        return f"{table(head, rows)}\n{run_line()}; {machine.shape()}.\n"

    def _rows(self, row: Callable[[str, Figures, Figures], list[str]]) -> list[list[str]]:
        ours = self.found.get("finops", Figures())
        return [[name, *row(name, figures, ours)] for name, figures in self.found.items() if name != DIRECT]

    def _tell_calls(self) -> None:
        def row(name: str, it: Figures, ours: Figures) -> list[str]:
            cells = []
            for connections in (8, 64):
                best = it.best(connections, "cpu_us")
                cells.append(
                    f"{number(best)}, {number(it.middle(connections, 'cpu_us'))}"
                    + ratio(best, ours.best(connections, "cpu_us"))
                )
            most = it.most_per_s()
            cells.append(f"{number(most)}, {number(it.middle(64, 'per_s'))}" + ratio(most, ours.most_per_s()))
            return [*cells, str(sum(w.failed for many in it.windows.values() for w in many))]

        head = ["gateway", "CPU us/request, 8 connections: best, median", "64 connections", "requests/s, 64: best, median", "failed"]  # fmt: skip
        direct = (
            f"\nThe upstream alone, 64 connections: {number(self.found[DIRECT].most_per_s())} requests/s. "
            f"Load average meanwhile: {min(self.loads):.1f} to {max(self.loads):.1f} (the run itself makes 2).\n"
        )
        self.report.section("A same-wire call: 0.45 KB asked, 1 KB answered", table(head, self._rows(row)) + direct)

    def _tell_latency(self) -> None:
        direct = self.found[DIRECT]
        low = {name: direct.best(1, name) for name in ("p50_ms", "p99_ms")}
        slow = {name: _low(p[name] for p in direct.paced) for name in ("p50", "p99")}

        def row(name: str, it: Figures, ours: Figures) -> list[str]:
            best = [it.best(1, n) - low[n] for n in low]
            middle = [it.middle(1, n) - direct.middle(1, n) for n in low]
            cells = [
                f"{number(best[0])} / {number(best[1])}" + ratio(best[0], ours.best(1, "p50_ms") - low["p50_ms"]),
                f"{number(middle[0])} / {number(middle[1])}",
            ]
            paced = [p for p in it.paced if p["count"]]
            added = [_low(p[n] for p in paced) - slow[n] for n in slow]
            typical = [_middle(p[n] for p in paced) - _middle(p[n] for p in direct.paced) for n in slow]
            rate = paced[0]["rate"] if paced else float("nan")
            cells.append(f"{number(rate)}/s" + ("" if rate == RATE else ", more it cannot"))
            cells += [f"{number(a)} / {number(b)}" for a, b in (added, typical)]
            return [*cells, str(sum(p["failed"] for p in it.paced))]

        head = [
            "gateway", "added p50 / p99 ms, 1 connection: best round", "median", f"rate on a {DELAY_MS} ms upstream",
            "added p50 / p99 ms: best round", "median", "failed",
        ]  # fmt: skip
        direct_says = (
            f"\nDirect: {number(low['p50_ms'])} / {number(low['p99_ms'])} ms at 1 connection; "
            f"{number(slow['p50'])} / {number(slow['p99'])} ms at {RATE}/s. The paced callers do not wait for each other.\n"
        )
        self.report.section("Added latency", table(head, self._rows(row)) + direct_says)

    def _tell_streams(self) -> None:
        def row(name: str, it: Figures, ours: Figures) -> list[str]:
            best = _low(s["cpu_us"] for s in it.full)
            rate = max((s["events"] / s["took"] for s in it.full), default=float("nan"))
            calm = _low(s["cpu_us"] for s in it.calm)
            events = sum(s["events"] for s in it.calm)
            late = sum(s["together"] for s in it.calm + it.full)
            return [
                f"{number(best)}, {number(_middle(s['cpu_us'] for s in it.full))}"
                + ratio(best, _low(s["cpu_us"] for s in ours.full)),
                number(rate),
                number(calm),
                f"{number(_low(s['p50'] for s in it.calm))} / {number(_low(s['p99'] for s in it.calm))}",
                f"{late} of {events:,}" if events else "no event arrived",
                str(sum(s["failed"] + s["unended"] for s in it.full + it.calm)),
            ]

        head = [
            "gateway", f"CPU us/event, {STREAMS} streams, full speed: best, median", "events/s", "CPU us/event at 800/s",
            "event's way p50 / p99 ms at 800/s", "events that waited for the next", "streams that failed",
        ]  # fmt: skip
        text = "\nFull speed: a stream's next event is sent when the one before has arrived, so none can be joined.\n"
        self.report.section("Streams of 500 events of 0.23 KB", table(head, self._rows(row)) + text)

    def _tell_footprint(self) -> None:
        sizes = {g.name: gateways.installed_mb(g.home, npm=g.npm) for g in self._fit()}

        def row(name: str, it: Figures, ours: Figures) -> list[str]:
            return [
                number(_low(it.idle_mb)), number(_low(it.loaded_mb)),
                f"{number(_low(it.starts_s))}, {number(_middle(it.starts_s))}", number(sizes.get(name, float("nan"))),
            ]  # fmt: skip

        head = ["gateway", "memory MB: idle", "after load", "start to first answer s: best, median", "installed MB"]
        text = (
            "\nMemory: resident, all processes. Installed: packages with their bytecode, without interpreter or pip.\n"
        )
        self.report.section("Footprint", table(head, self._rows(row)) + text)


def _circumstances() -> str:
    priority = f"nice {os.nice(0)}" if os.nice(0) else "ordinary priority"
    return f"load average at start {machine.load():.1f}; {priority}"


def _settle(calm: Callable[[], bool]) -> None:
    """Warm up twice, and on while it stalls: some have work of their own in their first seconds."""
    good = 0
    for _ in range(10):
        good += calm()
        if good == 2:
            return


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round, short windows: does it work at all")
    parser.add_argument("--only", default="", help="gateways, by parts of their names, with commas; us: finops")
    parser.add_argument("--seconds", type=float, default=2, help="length of a window")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--server", default="redis-server", help="a Redis or Valkey server")
    parser.add_argument("--profile", action="store_true", help="where our time goes, by py-spy")
    parser.add_argument("--no-peers", action="store_true", help="only our own calls and the profile")
    parser.add_argument("--nice", type=int, default=0, help="for all that is measured; needs root")
    parser.add_argument(
        "--keep", action="store_true", help="make the tables the current ones in RESULTS.md and README.md"
    )
    options = parser.parse_args(arguments)
    if options.nice:
        machine.be_nice(options.nice)
    run = Run(options)
    try:
        if not options.no_peers:
            run.measure()
            run.tell()
        us = gateways.gateways(run.store.url)[0]
        us.install()
        with nginx(OTHER_CORE) as upstream:
            own_calls.tell(run.report, us, run.store, upstream, run.seconds, GATEWAY_CORE, OTHER_CORE)
            if options.profile:
                hot_lines.tell(run.report, us, upstream, GATEWAY_CORE, OTHER_CORE)
    finally:
        run.store.close()
        if options.keep:
            run.report.keep()
            if (
                "finops" in run.found.keys() - run.unfit.keys() and len(run.found) > 2
            ):  # others beside us and the upstream alone
                results_file.keep_in_readme(run.beside_us())


if __name__ == "__main__":
    main()
