"""The whole system as real processes that can be killed: a store with its file, the simulator, APIs and workers."""

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path

import orjson

from bench import machine
from shared.store.embedded import EmbeddedStore

ROOT = Path(__file__).resolve().parent.parent
SIMULATED = """
[log]
level = "warning"
requests = false
[providers.sim]
wire = "openai"
base_url = "http://127.0.0.1:{simulator}/v1"
keys = [{{ value = "k" }}]
"""
OWN = """
[jobs]
durability = "fsync"
lease_s = {lease_s}
max_queued = 1000000
max_queued_per_key = 1000000
concurrency = 60
shutdown_grace_s = 3
[webhooks.chaos]
url = "http://127.0.0.1:{receiver}/hook"
secret = "whsec_Y2hhb3M="
allow_private_network = true
"""
CONFIG = SIMULATED + OWN


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as probes:
        found = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in found:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in found]


class Processes:
    """APIs and workers by name; one that is killed is started again."""

    def __init__(
        self, directory: Path, url: str, receiver: int, *, apis: int, workers: int, lease_s: float, config: str = CONFIG
    ) -> None:
        self.simulator_port, *self.api_ports = free_ports(1 + apis)
        self.log = (directory / "log").open("wb")
        file = directory / "finops.toml"
        file.write_text(config.format(lease_s=lease_s, simulator=self.simulator_port, receiver=receiver))
        self._environ = {**os.environ, "FINOPS_CONFIG": str(file), "FINOPS_REDIS_URL": url}
        self._commands = {f"worker {n}": ["worker"] for n in range(workers)}
        self._commands |= {f"api {n}": ["api", "--port", str(port), "--config", str(file)]
                           for n, port in enumerate(self.api_ports)}  # fmt: skip
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.dying: set[str] = set()
        self._simulator = self._start(["simulator", "--port", str(self.simulator_port)])
        for name in self._commands:
            self.start(name)

    def start(self, name: str) -> None:
        self.running[name] = self._start(self._commands[name])
        self.dying.discard(name)

    def fallen(self) -> list[str]:
        """Restart the processes that ended unexpectedly, and return them."""
        found = [
            name for name, process in self.running.items() if process.poll() is not None and name not in self.dying
        ]
        for name in found:
            self.start(name)
        return found

    def names(self, kind: str) -> list[str]:
        return [name for name in self.running if name.startswith(kind)]

    def port_of(self, name: str) -> int:
        """Where an API is; 0: it is none."""
        kind, number = name.split()
        return self.api_ports[int(number)] if kind == "api" else 0

    def upstream_calls(self) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.simulator_port}/sim/health", timeout=5) as answer:
            return int(answer.read().split(b'"total":')[1].strip().rstrip(b"}"))

    def until_up(self) -> None:
        deadline = time.monotonic() + 30
        for port in self.api_ports:
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=2).read()
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.1)

    def end(self) -> None:
        for process in (*self.running.values(), self._simulator):
            process.kill()
            process.wait()
        self.log.close()

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env=self._environ,
            stderr=self.log,
            stdout=self.log,
            preexec_fn=machine.end_with_parent(),
        )


class Monkey:
    """Kills something now and then, in every way that we know, and starts it again a moment later."""

    WAYS = (("worker", "kill"),) * 6 + (("worker", "freeze"), ("worker", "stop")) + (("api", "kill"),) * 4 + (
        ("api", "stop"),
    )  # fmt: skip

    def __init__(self, processes: Processes, store: EmbeddedStore, dice: random.Random, *, lease_s: float) -> None:
        self._processes = processes
        self._store = store
        self._dice = dice
        self._lease_s = lease_s
        self.done: Counter[str] = Counter()
        self.fallen: Counter[str] = Counter()

    async def run(self, pause_s: tuple[float, float], store_pause_s: tuple[float, float]) -> None:
        """Until cancelled; the store and the rest have their own rhythm."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._processes_die(*pause_s))
            group.create_task(self._store_dies(*store_pause_s))
            group.create_task(self._look_for_the_fallen())

    async def _look_for_the_fallen(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            for name in self._processes.fallen():
                self.fallen[name] += 1

    async def _processes_die(self, least_s: float, most_s: float) -> None:
        while True:
            await asyncio.sleep(self._dice.uniform(least_s, most_s))
            kind, way = self._dice.choice(self.WAYS)
            name = self._dice.choice(self._processes.names(kind))
            self.done[f"{kind}: {way}"] += 1
            await getattr(self, f"_{way}")(name)

    async def _store_dies(self, least_s: float, most_s: float) -> None:
        while True:
            await asyncio.sleep(self._dice.uniform(least_s, most_s))
            killed = self._store.pid
            os.kill(killed, signal.SIGKILL)
            self.done["store: kill"] += 1
            while self._store.pid == killed:  # it reads its file; a store that never is there shows nothing
                await asyncio.sleep(0.1)

    async def _kill(self, name: str) -> None:
        process = self._processes.running[name]
        self._processes.dying.add(name)
        process.kill()
        await asyncio.to_thread(process.wait)
        await asyncio.sleep(self._dice.uniform(0, 1))
        await self._start(name)

    async def _stop(self, name: str) -> None:
        process = self._processes.running[name]
        self._processes.dying.add(name)
        process.terminate()
        if await asyncio.to_thread(process.wait) != 0:
            self.done[f"{name.split()[0]}: stop, and it failed"] += 1
        await self._start(name)

    async def _start(self, name: str) -> None:
        """An API is up again before anything else dies: else a busy machine would see none at all."""
        self._processes.start(name)
        deadline = time.monotonic() + 30
        while (port := self._processes.port_of(name)) and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.1)

    async def _freeze(self, name: str) -> None:
        """Longer than its leases; then it wakes up and believes that nothing happened."""
        process = self._processes.running[name]
        process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(self._lease_s + 1)
        finally:
            process.send_signal(signal.SIGCONT)


class Receiver:
    """Takes webhooks; each job's event ids."""

    def __init__(self) -> None:
        self.heard: dict[str, set[str]] = {}
        self.deliveries = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            body = await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
            self._take(body)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            await writer.drain()
        writer.close()

    def _take(self, body: bytes) -> None:
        event = orjson.loads(body)
        self.deliveries += 1
        self.heard.setdefault(event["data"]["id"], set()).add(event["id"])
