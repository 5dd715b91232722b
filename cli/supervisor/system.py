"""The whole system on one machine: store, API, simulator and workers as supervised processes."""

import asyncio
import shutil
import socket
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Self
from urllib.parse import urlsplit

import click

from cli.admin_key import ensure_admin_key
from cli.options import check_exposure, settings_of
from cli.supervisor.ahead import CLI, StartedAhead
from cli.supervisor.children import Child, ChildPlan
from cli.supervisor.demo_config import SIMULATOR, TABLES, simulated_providers, with_simulator
from cli.supervisor.lifeline import Lifeline
from cli.supervisor.listening import open_free_port, open_listeners, url_of
from cli.supervisor.probe import until_answering
from cli.supervisor.succession import Answer, ControlSocket, start_successor
from shared.environment import minimal_environment
from shared.providers.registry import configured_providers
from shared.settings.differences import Change, differences, fixed_changes
from shared.settings.model import Settings
from shared.store.datadir import DataDirectory
from shared.store.embedded import EmbeddedStore
from shared.store.errors import DataDirectoryInUse, StoreConnectionError

START_TIMEOUT_S = 60.0
# After its grace a worker cancels, returns jobs to the queue and writes outcomes: 5 s each, at most.
CLEAN_UP_S = 15.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The processes to run, and their configuration.

    Attributes:
        settings: The effective configuration.
        environ: The environment that gives it to the children.
        workers: Worker processes; more can be added later.
        demo: Add the simulator, as provider ``sim`` and in place of well-known providers without a key.
        sample_data: Configure the demo for sample data; `cli.supervisor.sample_data` makes them.
        output: File for the children's logs; None: standard error.
        ahead: The first API process, started ahead; None: it is started with the others.
    """

    data_dir: Path
    settings: Settings
    environ: Mapping[str, str]
    workers: int = 1
    api_processes: int = 1
    demo: bool = False
    sample_data: bool = False
    output: IO[str] | None = None
    ahead: StartedAhead | None = None


class System:
    """Runs a plan from ``async with`` to its end, and leaves no process behind.

    Attributes:
        url: URL of the gateway.
        settings: The configuration that is in force.
        simulator_url: URL of the simulator; empty without one.
        simulated: Names of the providers that the simulator plays.
        admin_key: The configured key, else the stored one, created if necessary.
        admin_key_created: Whether it was created at this start.

    Args:
        plan: The processes to run.
        report: Called with a sentence for people on each unexpected event of a child.
    """

    def __init__(self, plan: Plan, report: Callable[[str], None]) -> None:
        self.plan = plan
        self.url = ""
        self.settings = plan.settings
        self.simulator_url = ""
        self.simulated: tuple[str, ...] = ()
        self.admin_key = ""
        self.admin_key_created = False
        self.workers: list[Child] = []
        self._report = report
        self._environ = dict(plan.environ)
        self._front: list[Child] = []
        self._simulators: list[Child] = []
        self._lifeline = Lifeline()
        self._listeners: list[socket.socket] = []
        self._reloading = asyncio.Lock()
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start the system; see ``start``."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop the system."""
        await self.stop()

    async def start(self) -> None:
        """Start store and processes, and wait until the API answers.

        Raises:
            click.ClickException: Something cannot be started; whatever was started is stopped again.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        plan = self.plan
        self._exits.callback(self._lifeline.close)
        await self._open_store()
        await asyncio.to_thread(self._prepare_metrics)
        server = plan.settings.server
        self._listeners = await asyncio.to_thread(open_listeners, server.host, server.port, plan.api_processes)
        self.url = url_of(self._listeners[0])
        await asyncio.to_thread(self._settle_admin_key)
        simulated = await self._configure_simulator() if plan.demo else None
        # The API first: it takes the longest to start, and everybody waits for it.
        for number, listener in enumerate(self._listeners, start=1):
            name = "api" if plan.api_processes == 1 else f"api {number}"
            self._front.append(await self._add_api(name, listener))
        if simulated is not None:
            self._simulators.append(await self._add_simulator(simulated))
        await self._until_serving()
        # Workers import as much as an API does: beside it, on two cores, the API would be ready after 1.24 s, not 1.16.
        for _ in range(plan.workers):
            await self.add_worker()

    async def _add_api(self, name: str, listener: socket.socket) -> Child:
        control = ControlSocket(self.reload_and_report)
        self._exits.push_async_callback(control.aclose)
        inherited = (listener.fileno(), control.descriptor)
        command = ["api", "--fd", str(listener.fileno()), "--control-fd", str(control.descriptor)]
        return await self._add(name, command, inherited=inherited, ahead=None if self._front else self.plan.ahead)

    async def reload_and_report(self, answer: Answer) -> None:
        """Reload, and report what has changed.

        Raises:
            click.ClickException: See ``reload``; it is reported too.
        """
        self._report("reloading the configuration")
        try:
            changes = await self.reload(answer)
        except click.ClickException as error:
            self._report(f"not reloaded, nothing has changed: {error.message}")
            raise
        for change in changes:
            self._report(f"  {change}")
        self._report(
            "reloaded; every process has the new configuration" if changes else "reloaded; nothing has changed"
        )

    async def reload(self, answer: Answer) -> list[Change]:
        """Read the configuration again, and replace all processes by ones that have it.

        Each process is replaced once its successor serves: both share a socket, so no call fails; jobs end in their
        grace or go back to the queue. A configuration that is invalid changes nothing.

        Args:
            answer: Called with what changes once the APIs' successors serve, and before any process is stopped.

        Returns:
            What has changed.

        Raises:
            click.ClickException: The new configuration is invalid, needs a restart, or an API does not start with it.
        """
        async with self._reloading:
            new, changes = await self._read_again()
            if not changes:
                await answer(changes)
                return changes
            if self.plan.demo:
                await self._write_demo_config(new, urlsplit(self.simulator_url).port or 0)
            old, self._front = self._front, await self._start_successors()
            self.settings = new
            await answer(changes)
            await asyncio.gather(*(child.stop(new.server.shutdown_grace_s + CLEAN_UP_S) for child in old))
            for at in range(len(self.workers)):
                await self._replace_worker(at)
        return changes

    async def _read_again(self) -> tuple[Settings, list[Change]]:
        new = await asyncio.to_thread(settings_of, self.plan.environ, TABLES if self.plan.demo else ())
        if fixed := fixed_changes(self.settings, new):
            raise click.ClickException(f"{', '.join(fixed)} cannot be changed by a reload; restart instead")
        check_exposure(new, self.admin_key)
        return new, differences(self.settings, new)

    async def _start_successors(self) -> list[Child]:
        """Start a successor of every API process; if one does not start, those before it are stopped again."""
        successors: list[Child] = []
        try:
            for child in self._front:
                successors.append(await start_successor(child, self._report, START_TIMEOUT_S))  # noqa: PERF401 - see below
        except BaseException:
            for child in successors:
                await child.stop(CLEAN_UP_S)
            raise
        return successors

    async def _replace_worker(self, at: int) -> None:
        """Start the successor first, unless both would serve their metrics on one port."""
        old = self.workers[at]
        successor = Child(old.plan, self._report)
        if "FINOPS_WORKER_METRICS_PORT" not in old.plan.environ:
            await successor.start()
        await old.stop(self.settings.jobs.shutdown_grace_s + CLEAN_UP_S)
        if "FINOPS_WORKER_METRICS_PORT" in old.plan.environ:
            await successor.start()
        self.workers[at] = successor

    async def add_worker(self, *arguments: str) -> Child:
        """Start one more worker process; ``arguments`` are passed to `finops worker`."""
        environ = {}
        port = self._environ.get("FINOPS_WORKER_METRICS_PORT", "")
        if port.isdigit():  # one port each, counting up from the configured one
            environ["FINOPS_WORKER_METRICS_PORT"] = str(int(port) + len(self.workers))
        worker = await self._add(f"worker {len(self.workers) + 1}", ["worker", *arguments], environ=environ)
        self.workers.append(worker)
        return worker

    async def remove_worker(self) -> None:
        """Stop the last worker process, with its grace."""
        worker = self.workers.pop()
        await worker.stop(self.plan.settings.jobs.shutdown_grace_s + CLEAN_UP_S)

    async def stop(self, *, hurry: asyncio.Event | None = None) -> None:
        """Stop in order: API and workers, each with its grace, then the simulator, then the store.

        Args:
            hurry: Once set, the grace is over: whatever still runs is killed, and its jobs run again at the next start.
        """
        for child in (*self._front, *self.workers, *self._simulators):
            child.retire()
        for listener in self._listeners:
            listener.close()
        settings = self.plan.settings
        tiers = [(child, settings.server.shutdown_grace_s) for child in self._front]
        tiers += [(child, settings.jobs.shutdown_grace_s) for child in self.workers]
        await _stop_all(tiers, hurry)
        await _stop_all([(child, 0.0) for child in self._simulators], hurry)
        await self._exits.aclose()

    async def _open_store(self) -> None:
        """Start the embedded store; with a configured store, only lock the data directory.

        Raises:
            click.ClickException: Another process uses the directory, or the store cannot be started.
        """
        data_dir = self.plan.data_dir
        try:
            if self.plan.settings.redis.url is not None:
                directory = await asyncio.to_thread(DataDirectory.hold, data_dir)
                self._exits.push_async_callback(asyncio.to_thread, directory.release)
                return
            limit_mb = self.plan.settings.redis.max_memory_mb
            limit = None if limit_mb is None else limit_mb * 1024 * 1024
            store = await self._exits.enter_async_context(EmbeddedStore(data_dir, max_memory_bytes=limit))
        except (DataDirectoryInUse, StoreConnectionError) as error:
            raise click.ClickException(str(error)) from None
        self._environ["FINOPS_REDIS_URL"] = store.url

    def _prepare_metrics(self) -> None:
        """Give the processes an empty folder for their metrics: any of them is scraped for all."""
        if not self._environ.get("FINOPS_METRICS_DIR"):
            folder = self.plan.data_dir / "metrics"
            shutil.rmtree(folder, ignore_errors=True)
            self._environ["FINOPS_METRICS_DIR"] = str(folder)

    def _settle_admin_key(self) -> None:
        configured = self.plan.settings.auth.admin_key
        if configured is not None:
            self.admin_key = configured.get_secret_value()
            return
        self.admin_key, self.admin_key_created = ensure_admin_key(self.plan.data_dir)
        self._environ["FINOPS_ADMIN_KEY"] = self.admin_key

    async def _configure_simulator(self) -> socket.socket:
        """Listen for the simulator, and add it to the children's configuration as a provider."""
        listener = self._exits.enter_context(open_free_port())
        port = listener.getsockname()[1]
        self.simulator_url = url_of(listener)
        if SIMULATOR in self.plan.settings.providers:
            self._report(f"the configuration has a provider {SIMULATOR!r} of its own; the simulator is on port {port}")
        await self._write_demo_config(self.plan.settings, port)
        return listener

    async def _add_simulator(self, listener: socket.socket) -> Child:
        """Start the simulator on a socket that listens already: a call before it serves waits, instead of failing."""
        command = ["simulate", "--fd", str(listener.fileno())]
        return await self._add("simulator", command, configured=False, inherited=(listener.fileno(),))

    async def _write_demo_config(self, settings: Settings, port: int) -> None:
        environ = self.plan.environ
        self.simulated = simulated_providers(configured_providers(settings, environ))
        original = environ.get("FINOPS_CONFIG")
        write = partial(with_simulator, sample=self.plan.sample_data)
        config = await asyncio.to_thread(write, original, port, self.plan.data_dir, self.simulated)
        self._environ["FINOPS_CONFIG"] = str(config)

    async def _add(
        self,
        name: str,
        command: list[str],
        *,
        environ: Mapping[str, str] | None = None,
        inherited: tuple[int, ...] = (),
        configured: bool = True,
        ahead: StartedAhead | None = None,
    ) -> Child:
        """Start a child; one that is not `configured` gets no secret: the environment that any process needs."""
        base = self._environ if configured else minimal_environment(self._environ)
        grace_s = max(self.plan.settings.jobs.shutdown_grace_s, self.plan.settings.server.shutdown_grace_s)
        plan = ChildPlan(
            name=name,
            command=(*CLI, *command),
            environ={**base, **(environ or {}), **self._lifeline.variable(grace_s + CLEAN_UP_S)},
            inherited=(*inherited, self._lifeline.reading_end),
            output=self.plan.output,
        )
        child = Child(plan, self._report, ahead)
        await child.start()
        return child

    async def _until_serving(self) -> None:
        """Wait until the API answers.

        Raises:
            click.ClickException: A child ended, or the API did not answer in time.
        """
        children = [*self._simulators, *self.workers, *self._front]
        deaths = {asyncio.create_task(child.died()): child for child in children}
        answering = asyncio.create_task(until_answering(f"{self.url}/health/live"))
        try:
            done, _ = await asyncio.wait(
                {*deaths, answering}, timeout=START_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for task in (*deaths, answering):
                task.cancel()
            await asyncio.wait({*deaths, answering})
        for task, child in deaths.items():
            if task in done:
                raise click.ClickException(f"{child.plan.name} did not start; see its message above")
        if answering not in done:
            raise click.ClickException(f"the API did not answer within {START_TIMEOUT_S:g} s")


async def _stop_all(children: list[tuple[Child, float]], hurry: asyncio.Event | None) -> None:
    """Stop children together, each with its grace and time to clean up."""
    if not children:
        return
    stops: asyncio.Future[list[None]] = asyncio.gather(
        *(child.stop(grace_s + CLEAN_UP_S) for child, grace_s in children)
    )
    if hurry is not None:
        hurrying = asyncio.ensure_future(hurry.wait())
        either: list[asyncio.Future[Any]] = [stops, hurrying]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not stops.done():
            await asyncio.gather(*(child.stop(0.0) for child, _ in children))
        hurrying.cancel()
    await stops
