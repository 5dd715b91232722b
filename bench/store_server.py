"""A Redis of our own for the measurements: loopback, empty, gone afterwards."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import redis

from bench import machine

QUIET = ("info", "config", "ping", "client", "hello", "flushall", "select")


class StoreServer:
    """One redis-server on a free port; ``append_only``: with its file, synced every second."""

    def __init__(
        self, binary: str = "redis-server", *, append_only: bool = False, cores: set[int] | None = None,
        before: Sequence[str] = (), options: Sequence[str] = (),
    ) -> None:  # fmt: skip
        found = shutil.which(binary)
        if found is None:
            raise SystemExit(f"{binary} is not installed")
        self._directory = tempfile.TemporaryDirectory(prefix="finops-bench-")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process = subprocess.Popen(
            [
                *before, found, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self._directory.name,
                "--appendonly", "yes" if append_only else "no", "--maxclients", "15000", "--loglevel", "warning", *options,
            ],
            stdout=subprocess.DEVNULL,
            preexec_fn=machine.end_with_parent(cores),
        )  # fmt: skip
        self.client: Any = redis.Redis(port=self.port)
        deadline = time.monotonic() + 10
        while True:
            try:
                self.client.ping()
                break
            except redis.ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    @property
    def version(self) -> str:
        info = self.client.info("server")
        return (
            f"{'Valkey' if 'valkey_version' in info else 'Redis'} {info.get('valkey_version') or info['redis_version']}"
        )

    def empty(self) -> None:
        self.client.flushall()
        self.client.config_resetstat()

    def calls(self) -> int:
        """Commands executed since ``empty``, those inside scripts too."""
        stats = self.client.info("commandstats")
        return sum(v["calls"] for k, v in stats.items() if k.removeprefix("cmdstat_").split("|")[0] not in QUIET)

    def reads(self) -> int:
        """Reads from clients' sockets since ``empty``: about one for each round trip."""
        return int(self.client.info("stats")["total_reads_processed"])

    def close(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(10)
        self._directory.cleanup()
