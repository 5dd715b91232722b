"""Metrics of several processes of one machine, scraped from any of them with the right sums.

``finops serve`` gives its processes a folder. Each writes what it counted there every second or two, and the process
that is scraped adds up the files of all. A folder and not the store, because the sums have to be those of what stands
behind one address: Prometheus adds up addresses itself, and would count sums of the whole deployment once for each.

What ended processes counted is kept, so that sums never fall: the files of processes that are gone are added up in one.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from shared.background import keep_running

WRITE_EVERY_S: Final = 1.0
SHARE_OF_TIME: Final = 200  # a snapshot of some thousand series takes 10 ms: writing uses half a percent of the time
LONGEST_S: Final = 10.0
_ENDED: Final = "ended.json"
_LOCK: Final = ".lock"
_COUNTED: Final = frozenset({"counter", "histogram"})
# Gauges of the store, which every process reads as it is scraped: the scraped one has the latest.
_OWN: Final = ("finops_queue_", "finops_alert_", "finops_limit_", "python_info")
# Gauges of which the worst or the latest counts; all others are parts of a sum.
_LARGEST: Final = (
    "finops_provider_circuit_state",
    "finops_provider_open_circuits",
    "finops_provider_resting_keys",
    "finops_webhook_pending",
    "finops_webhook_endpoints_disabled",
    "process_start_time_seconds",
    "process_max_fds",
)

Family = tuple[str, str, str, list[tuple[str, dict[str, str], float]]]
"""Name, help text, type, and samples: name, labels, value."""

Encoder = Callable[[CollectorRegistry], bytes]
Exemplars = Mapping[tuple[str, tuple[tuple[str, str], ...]], Exemplar]
"""By the name and the labels of a bucket."""
_NONE: Final[Exemplars] = {}

logger = logging.getLogger("finops.metrics")


def families_of(registry: CollectorRegistry) -> list[Family]:
    """Read every metric of a process."""
    return [
        (
            metric.name,
            metric.documentation,
            metric.type,
            [(one.name, dict(one.labels), one.value) for one in metric.samples],
        )
        for metric in registry.collect()
    ]


def merge(own: Iterable[Family], others: Iterable[Iterable[Family]], ended: Iterable[Family] = ()) -> list[Family]:
    """Add up the metrics of several processes.

    Args:
        own: Those of the process that is scraped.
        others: Those of the other running processes.
        ended: The counts of processes that are gone.
    """
    merged: dict[str, Family] = {}
    sums: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for at, families in enumerate((own, ended, *others)):
        for name, text, kind, samples in families:
            if at and name.startswith(_OWN):
                continue
            values = sums.setdefault(name, {})
            merged.setdefault(name, (name, text, kind, []))
            largest = name.startswith(_LARGEST)
            for sample, labels, value in samples:
                if sample.endswith("_created"):  # of one process; nothing reads it
                    continue
                key = (sample, tuple(labels.items()))
                known = values.get(key, 0.0)
                values[key] = max(known, value) if largest else known + value
    for name, family in merged.items():
        family[3].extend((sample, dict(labels), value) for (sample, labels), value in sums[name].items())
    return list(merged.values())


def exemplars_of(registry: CollectorRegistry) -> Exemplars:
    """Read the exemplars of a process's buckets."""
    return {
        (one.name, tuple(one.labels.items())): one.exemplar
        for metric in registry.collect()
        for one in metric.samples
        if one.exemplar is not None
    }


def render(families: Iterable[Family], encode: Encoder = generate_latest, exemplars: Exemplars = _NONE) -> bytes:
    """Write metrics as Prometheus reads them."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Given(families, exemplars))
    return encode(registry)


class _Given(Collector):
    def __init__(self, families: Iterable[Family], exemplars: Exemplars) -> None:
        self._families = families
        self._exemplars = exemplars

    def collect(self) -> Iterator[Metric]:
        for name, text, kind, samples in self._families:
            metric = Metric(name, text, kind)
            for sample, labels, value in samples:
                metric.add_sample(sample, labels, value, None, self._exemplars.get((sample, tuple(labels.items()))))
            yield metric


class SharedFolder:
    """A process's place in the folder of a machine's processes.

    Args:
        folder: Shared by the processes that are scraped together; made if it does not exist.
        registry: This process's metrics.
    """

    def __init__(self, folder: Path, registry: CollectorRegistry) -> None:
        self._folder = folder
        self._registry = registry
        self._file = folder / f"{os.getpid()}-{secrets.token_hex(4)}.json"
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write this process's metrics; needs a running event loop."""
        self._task = keep_running("metrics", self._keep_writing)

    async def aclose(self) -> None:
        """Write the last counts, for the sums that stay."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
            try:
                await asyncio.to_thread(self.write, ended=True)
            except OSError as error:
                logger.warning("the last metrics are lost: %s", error)

    def write(self, *, ended: bool = False) -> None:
        """Write this process's metrics; it blocks. After ``ended`` its gauges no longer count."""
        families = families_of(self._registry)
        if ended:
            families = [family for family in families if family[2] in _COUNTED]
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _replace(self._file, families)

    def render(self, encode: Encoder = generate_latest) -> bytes:
        """Render the metrics of all processes, with this one's exemplars; it blocks for some milliseconds."""
        own = families_of(self._registry)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(self._folder):
            others, ended = _read_all(self._folder, self._file)
        return render(merge(own, others, ended), encode, exemplars_of(self._registry))

    async def _keep_writing(self) -> None:
        while True:
            started = time.perf_counter()
            try:
                await asyncio.to_thread(self.write)
            except OSError as error:
                logger.warning("metrics cannot be shared with other processes: %s", error)
            took_s = time.perf_counter() - started
            await asyncio.sleep(min(max(WRITE_EVERY_S, SHARE_OF_TIME * took_s), LONGEST_S))


def folder_of(environ: Mapping[str, str]) -> Path | None:
    """The folder of the processes that are scraped together; None: each is scraped for itself."""
    named = environ.get("FINOPS_METRICS_DIR")
    return Path(named) if named else None


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep others from moving counts from one file to another while they are added up."""
    with (folder / _LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read_all(folder: Path, own: Path) -> tuple[list[list[Family]], list[Family]]:
    """Read the files of the other processes, and move the counts of those that are gone to the file of ended ones."""
    running: list[list[Family]] = []
    gone: list[tuple[Path, list[Family]]] = []
    for file in sorted(folder.glob("*-*.json")):
        if file == own:
            continue
        families = _read(file)
        if _is_running(file):
            running.append(families)
        else:
            gone.append((file, [family for family in families if family[2] in _COUNTED]))
    ended = _read(folder / _ENDED)
    if gone:
        ended = merge((), [families for _, families in gone], ended)
        _replace(folder / _ENDED, ended)
        for file, _ in gone:
            file.unlink(missing_ok=True)
    return running, ended


def _is_running(file: Path) -> bool:
    try:
        os.kill(int(file.name.partition("-")[0]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _read(file: Path) -> list[Family]:
    try:
        found: Sequence[Any] = orjson.loads(file.read_bytes())
    except (OSError, ValueError):
        return []
    return [
        (name, text, kind, [(s, labels, float(value)) for s, labels, value in samples])
        for name, text, kind, samples in found
    ]


def _replace(file: Path, families: Iterable[Family]) -> None:
    """Write a file in one step: no reader sees half of it."""
    new = file.with_suffix(".new")
    new.write_bytes(orjson.dumps(list(families)))
    new.replace(file)
