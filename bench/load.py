"""Load on a gateway: wrk in windows, and the traffic process' own cases; with each what the gateway's CPU did meanwhile."""

import contextlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import machine, samples
from bench.gateways import Running, free_port

NGINX = """
worker_processes 1;
pid {home}/pid;
error_log {home}/err;
daemon off;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  client_body_temp_path {home}/body;
  client_body_in_single_buffer on;
  server {{
    listen 127.0.0.1:{port} reuseport;
    default_type application/json;
    location / {{ return 200 '{answer}'; }}
    location /anthropic {{ return 200 '{anthropic}'; }}
    location /v1/models {{ return 200 '{models}'; }}
  }}
}}
"""
WRK = """
wrk.method = "%s"
wrk.body = %s
%s
function done(summary, latency, requests)
  io.write(string.format("RESULT %%d %%d %%d %%d %%d\\n", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout))
end
"""


@contextlib.contextmanager
def nginx(core: set[int]) -> Iterator[int]:
    """An upstream that answers at once, many times faster than any gateway; its port."""
    with tempfile.TemporaryDirectory(prefix="finops-bench-") as home:
        port = free_port()
        bodies = {"answer": samples.ANSWER, "anthropic": samples.ANTHROPIC_ANSWER, "models": samples.MODELS}
        texts = {name: body.decode() for name, body in bodies.items()}
        config = Path(home) / "nginx.conf"
        config.write_text(NGINX.format(home=home, port=port, **texts))
        process = subprocess.Popen(
            ["nginx", "-c", str(config), "-e", f"{home}/err"], preexec_fn=machine.end_with_parent(core)
        )
        try:
            yield port
        finally:
            process.terminate()
            process.wait(10)


@dataclass(frozen=True)
class Window:
    """What wrk saw, and what the gateway spent (us of CPU a request; NaN: nobody was watched)."""

    requests: int
    per_s: float
    p50_ms: float
    p99_ms: float
    failed: int
    cpu_us: float


def window(
    url: str, headers: list[str], body: str, connections: int, seconds: float, core: set[int],
    running: Running | None = None, method: str = "POST",
) -> Window:  # fmt: skip
    """Load for some seconds. ``headers``: lines ``name: value``."""
    lines = "\n".join("wrk.headers[%s] = %s" % tuple(map(json.dumps, line.split(": ", 1))) for line in headers)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(WRK % (method, json.dumps(body), lines))
        script.flush()
        cpu = running.cpu_s() if running else float("nan")
        output = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "10s", "-s", script.name, url],
            stdout=subprocess.PIPE, text=True, check=True, preexec_fn=machine.end_with_parent(core),
        ).stdout  # fmt: skip
        cpu = running.cpu_s() - cpu if running else cpu
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+)", output)
    if found is None:
        raise RuntimeError(output)
    requests, micros, p50, p99, failed = map(int, found.groups())
    if not requests:
        return Window(0, 0.0, *[float("nan")] * 2, failed, float("nan"))
    return Window(requests, requests / micros * 1e6, p50 / 1e3, p99 / 1e3, failed, cpu / requests * 1e6)


class Traffic:
    """The process that is upstream and caller at once."""

    def __init__(self, core: set[int]) -> None:
        self.port = free_port()
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("traffic.py")), str(self.port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=machine.end_with_parent(core),
        )  # fmt: skip
        self._read()

    def _read(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the traffic process has ended")
        return json.loads(line)

    def run(self, command: dict[str, Any], running: Running | None = None) -> dict[str, Any]:
        """One case; with streams, ``cpu_us``: of the gateway, per event."""
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        marks = []
        while True:
            sample = self._read()
            if "now" not in sample:
                break
            marks.append(running.cpu_s() if running else float("nan"))
        if marks:
            spent_s = marks[1] - marks[0]  # ticks of 10 ms: too few say nothing
            sample["cpu_us"] = spent_s / sample["events"] * 1e6 if sample["events"] and spent_s > 0.03 else float("nan")
        return sample

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()
