"""Runs the API tier as a process: one uvicorn server on one socket."""

import asyncio
import gc
import logging
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import uvicorn

from api.app import STORE_CONNECT_TIMEOUT_S, create_app
from api.gateway_app import GatewayApp
from api.http.connection_limits import ConnectionLimits
from api.http.guarded_protocol import GuardedProtocol
from api.http.reloads import OwnReload, Reload, SupervisedReload, reload_and_log
from shared.background import map_large_blocks
from shared.hangup import on_hangup
from shared.jobs.bodies import cipher_of
from shared.providers.configuration import Configuration
from shared.providers.references import check_references
from shared.providers.registry import IncompleteProvider, configured_providers
from shared.providers.senders import check_senders
from shared.settings.exposure import exposures, weak_admin_key
from shared.settings.model import Settings
from shared.store.connection import connect
from shared.store.encryption import EncryptionUnavailable
from shared.store.reloads import ReloadListener
from shared.telemetry.logs import configure

logger = logging.getLogger("finops.api")

BACKLOG = 2048
# Longer than the SDKs keep an idle connection: it is they who close it, and no request finds it closed.
KEEP_ALIVE_S = 75
# How long a thread that works on a large body keeps the interpreter while the loop waits for it, for each time that the
# loop does: Python's own 5 ms add up to 30 in one turn.
SWITCH_S = 0.001


def run_api(
    settings: Settings,
    *,
    fd: int | None = None,
    ready_fd: int | None = None,
    control_fd: int | None = None,
    environ: Mapping[str, str] | None = None,
    admin_key: str | None = None,
) -> int:
    """Serve until SIGTERM or SIGINT, then let running requests end for ``server.shutdown_grace_s``.

    SIGHUP reads the configuration again, unless a supervisor does so.

    Args:
        settings: The effective configuration.
        fd: A listening socket that this process inherited; None: it opens its own.
        ready_fd: An inherited pipe, to which a byte is written once requests are served.
        control_fd: An inherited socket to the supervisor, which reloads on request; None: nobody supervises this.
        environ: Where well-known providers' keys are found; default: the process's environment.
        admin_key: Replaces the configured one.

    Returns:
        The exit code: 0, or 1 when it cannot listen or start.
    """
    configure(settings.log, "api")
    environ = os.environ if environ is None else environ
    listener = _listener(settings, fd)
    if listener is None:
        return 1
    with listener:
        try:
            providers = configured_providers(settings, environ)
            check_references(settings, providers)
            check_senders(providers, environ)
            check_exposure(settings, admin_key)
            cipher_of(settings)
        except (IncompleteProvider, Exposed, EncryptionUnavailable) as error:
            print(f"the configuration is refused: {error}", file=sys.stderr)  # noqa: T201 - for people
            return 1
        build = partial(create_app, environ=environ, admin_key=admin_key)
        server = ApiServer(build(settings), settings, ready_fd)
        configuration = Configuration(settings, environ, partial(check_exposure, admin_key=admin_key))
        server.reload_with(_reload_of(control_fd, configuration, partial(_rebuild, server, build)))
        try:
            server.run(sockets=[listener])
        except SystemExit:  # uvicorn exits so when the lifespan failed; the log has the reason
            return 1
    return 0


class Exposed(ValueError):
    """Strangers would get in at the configured address."""


def check_exposure(settings: Settings, admin_key: str | None) -> None:
    """Refuse to serve strangers; warn of an admin key that can be guessed.

    Raises:
        Exposed: They would get in; the message says how, and what to do.
    """
    found = exposures(settings, admin_key)
    if found:
        raise Exposed("; ".join(f"{problem}: {fix}" for problem, fix in found))
    configured = settings.auth.admin_key
    key = admin_key or (configured.get_secret_value() if configured else None)
    weak = weak_admin_key(key) if key else None
    if weak is not None:
        logger.warning("%s; %s", weak.problem, weak.fix)


def _reload_of(
    control_fd: int | None, configuration: Configuration, replace: Callable[[Settings], Awaitable[None]]
) -> Reload:
    if control_fd is None:
        return OwnReload(configuration, replace)
    return SupervisedReload(socket.socket(fileno=control_fd))


async def _rebuild(server: "ApiServer", build: Callable[[Settings], GatewayApp], settings: Settings) -> None:
    """Build the application again, in a thread as it takes half a second, and serve it once it is whole."""
    app = await asyncio.to_thread(build, settings)
    await app.load()
    configure(settings.log, "api")
    await server.exchange(app, settings)


def server_config(app: GatewayApp, settings: Settings, limits: ConnectionLimits | None = None) -> uvicorn.Config:
    """Configure uvicorn: the fast parser and loop, the gateway's own logs, no server header.

    Args:
        app: The application.
        settings: For the grace of a stop.
        limits: Limits of the connections; None: as the settings have them.
    """
    return uvicorn.Config(
        app,
        interface="asgi3",
        http=partial(GuardedProtocol, limits=limits or ConnectionLimits(settings.server)),  # type: ignore[arg-type]
        loop="uvloop" if os.name == "posix" else "asyncio",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=grace_of(settings),
        backlog=BACKLOG,
    )


class ApiServer(uvicorn.Server):
    """uvicorn with the marks of our process: a line when it serves, a settled heap, an application that can change."""

    def __init__(self, app: GatewayApp, settings: Settings, ready_fd: int | None = None) -> None:
        self._app = app
        self._limits = ConnectionLimits(settings.server, self._on_refused)
        super().__init__(server_config(app, settings, self._limits))
        self._settings = settings
        self._ready_fd = ready_fd
        self._reload: Reload | None = None
        self._listener: ReloadListener | None = None
        self._running: set[asyncio.Task[object]] = set()
        self._close: Callable[[], Awaitable[Any]] | None = None  # None: uvicorn closes the first application

    def reload_with(self, reload: Reload) -> None:
        """Offer a way to reload the configuration; before the start."""
        self._reload = reload
        self._app.state.reload = reload

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to serve."""
        await super().startup(sockets)
        if not self.started:
            return
        # What was made so far stays for good: collections need not look at it, and may come more rarely
        # (at 64 connections 140 -> 100 us CPU per request, p99 41 -> 14 to 20 ms). Nothing is collected before: it
        # takes 65 ms and finds ten objects.
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        map_large_blocks()
        sys.setswitchinterval(SWITCH_S)
        for listener in sockets or ():
            logger.info("listening", extra={"url": url_of(listener)})
        if self._reload is not None:
            self._listen_for_reloads(self._reload)
        if self._ready_fd is not None:
            os.write(self._ready_fd, b"1")
            os.close(self._ready_fd)
        self._keep(self._load_framework(), "finops-load")

    async def _load_framework(self) -> None:
        await self._app.load()
        gc.freeze()  # it stays, too

    async def exchange(self, app: GatewayApp, settings: Settings) -> None:
        """Serve all further requests with another application; running ones end in the old one.

        Raises:
            Exception: The application does not start; the old one goes on.
        """
        lifespan = app.router.lifespan_context(app)
        await lifespan.__aenter__()
        app.state.reload = self._reload
        old, close = self._app, self._close or self.lifespan.shutdown
        self._app, self._close = app, partial(lifespan.__aexit__, None, None, None)
        self._limits.apply(settings.server)
        self.config.timeout_graceful_shutdown = grace_of(settings)
        self.config.loaded_app = app
        for connection in self.server_state.connections:
            cast("GuardedProtocol", connection).app = app  # of its next request
        old.state.services.waits.end()  # whoever merely waits polls again
        self._keep(_retire(set(self.server_state.tasks), close), "finops-retire")

    def _listen_for_reloads(self, reload: Reload) -> None:
        if isinstance(reload, OwnReload):
            on_hangup(lambda: self._start_reload(reload), self._stop)
        url = self._settings.redis.url.get_secret_value() if self._settings.redis.url else ""
        if url:
            name, wait_s = "finops-api-reloads", STORE_CONNECT_TIMEOUT_S
            self._listener = ReloadListener(
                lambda: connect(url, connect_timeout_s=wait_s, timeout_s=None, max_connections=1, client_name=name),
                reload.origin,
                partial(reload_and_log, reload),
            )
            self._listener.start()

    def _start_reload(self, reload: Reload) -> None:
        self._keep(reload_and_log(reload), "finops-reload")

    def _keep(self, work: Coroutine[Any, Any, object], name: str) -> None:
        """Run something in the background, which a stop awaits."""
        task = asyncio.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _stop(self) -> None:
        self.should_exit = True

    def _on_refused(self, reason: str) -> None:
        metrics = getattr(self._app.state, "metrics", None)
        if metrics is not None:
            metrics.refused(reason)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop when asked to; to have been asked is no failure, so the signal is not raised again afterwards."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop to serve: whoever merely waits is answered at once, running answers have their grace."""
        services = getattr(self._app.state, "services", None)
        if services is not None:
            services.waits.end()
        if self._listener is not None:
            await self._listener.aclose()
        await super().shutdown(sockets)
        if self._running:
            await asyncio.wait(self._running)
        if self._close is not None:
            await self._close()


async def _retire(running: set[asyncio.Task[None]], close: Callable[[], Awaitable[Any]]) -> None:
    """Close an application once its last request has ended, and give its memory back."""
    if running:
        await asyncio.wait(running)
    await close()
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def grace_of(settings: Settings) -> int:
    """How long running requests may continue after a stop signal, in seconds as uvicorn takes them."""
    return max(1, round(settings.server.shutdown_grace_s))


def url_of(listener: socket.socket) -> str:
    """Where the socket is, for a client."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _listener(settings: Settings, fd: int | None) -> socket.socket | None:
    """The inherited socket, or one of our own; None: it cannot listen; the reason is printed."""
    host, port = settings.server.host, settings.server.port
    try:
        return socket.socket(fileno=fd) if fd is not None else _listen(host, port)
    except OSError as error:
        where = f"file descriptor {fd}" if fd is not None else f"{host} port {port}"
        fix = "stop what listens there, or choose another port (FINOPS_PORT)"
        print(f"Error: cannot listen on {where}: {error.strerror or error}; {fix}", file=sys.stderr)  # noqa: T201
        return None


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket on the host's first address.

    Raises:
        OSError: There is none, or it is taken.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener
