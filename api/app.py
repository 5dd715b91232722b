"""Composition root of the API tier: builds the services when the application starts."""

import asyncio
import importlib.metadata
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.datastructures import State
from starlette.types import ASGIApp

from api.engine import JobEngine, StoreConnections, build_engine
from api.files.uploads import MAX_FIELDS_BYTES
from api.gateway_app import GatewayApp
from api.hot_routes import hot_endpoints, probes
from api.http.client_address import ClientAddresses
from api.http.errors import ErrorBoundary
from api.http.login_throttle import KEY_BURST, KEY_REFILL_S, LoginThrottle
from api.http.openid import build_openid
from api.middleware.access_log import AccessLog
from api.middleware.body_limit import BodyLimit
from api.middleware.fast_routes import FastRoutes
from api.middleware.request_id import RequestId
from api.middleware.traced import TracedRequests
from api.routes.inference import PREFIXES
from api.services import Services
from shared.alerts.figures import FigureLoop, FigureWriter, uses_figures
from shared.alerts.rules import AlertRules
from shared.batches.files import FileStore
from shared.batches.store import BatchStore
from shared.errors import StoreUnavailable
from shared.governance.keys.authenticate import Authenticator
from shared.governance.keys.cache import VirtualKeyCache
from shared.governance.keys.sessions import Sessions
from shared.governance.keys.store import VirtualKeyStore
from shared.governance.keys.tokens import ApiTokens
from shared.governance.ledger.audit import Audit
from shared.inference.assembly import (
    SharedStore,
    build_billing,
    build_inference,
    build_lanes,
    build_submitter,
    build_tracing,
)
from shared.inference.billing import Billing
from shared.inference.inference import Inference
from shared.jobs.bodies import BodyPolicy
from shared.jobs.durability import ANSWER_TIMEOUT_S
from shared.jobs.queue import QueueLimits
from shared.patience.gathering import GatheredBatches
from shared.schedules.store import ScheduleStore
from shared.settings.model import Settings
from shared.store.address import DEFAULT_REDIS_URL, names_cluster
from shared.store.commands import PooledCommands
from shared.store.connection import connect
from shared.store.errors import StoreConnectionError
from shared.store.multiplexed import MultiplexedClient
from shared.store.requirements import check_server
from shared.telemetry.metrics import Metrics
from shared.telemetry.provider_metrics import watch_providers
from shared.telemetry.snapshots import folder_of
from shared.telemetry.tracing import Tracing, exemplar_source
from shared.webhooks.secrets import WebhookSecrets
from shared.webhooks.store import DeliveryStore

if TYPE_CHECKING:
    from fastapi import FastAPI

VERSION = importlib.metadata.version("finops-gateway")  # here, as a read would block a running loop
# Short enough that a caller hears of a store that hangs before it gives up itself.
STORE_TIMEOUT_S = 2.0
STORE_CONNECT_TIMEOUT_S = 1.0


def create_app(
    settings: Settings, *, environ: Mapping[str, str] | None = None, admin_key: str | None = None
) -> GatewayApp:
    """Create the ASGI application; it opens nothing until its lifespan begins.

    Args:
        settings: The effective configuration.
        environ: Holds well-known providers' keys; default: the process's environment.
        admin_key: Overrides the configured one.
    """
    metrics = Metrics("api", trace_id=exemplar_source(settings.telemetry))
    variables, tracing = os.environ if environ is None else environ, build_tracing(settings, "api", VERSION)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # In a thread: it reads files (scripts, certificates), and other loops may run beside ours.
        services = await asyncio.to_thread(
            build_services, settings, metrics, environ=variables, admin_key=admin_key, tracing=tracing
        )
        app.state.services = services
        try:
            services.inference.start()
            services.figures.start()
            services.engine.start()
            metrics.share(folder_of(variables))
            await services.governance.start()
            await _check_store(services)
            yield
        finally:
            await services.aclose()
            await metrics.aclose()

    app = GatewayApp(
        lifespan, partial(_surround, settings=settings, metrics=metrics, tracing=tracing), _build_framework
    )
    app.state.metrics = metrics
    return app


def _build_framework(state: State) -> "FastAPI":
    from api.framework import create_framework  # noqa: PLC0415 - calls are served before it is loaded

    return create_framework(VERSION, state)


def _surround(app: ASGIApp, *, settings: Settings, metrics: Metrics, tracing: Tracing | None) -> ASGIApp:
    """Wrap an application in the gateway's middleware; the last one is the outermost."""
    app = FastRoutes(app, endpoints=hot_endpoints(), probes=probes())
    app = BodyLimit(app, max_bytes=settings.server.max_body_bytes, larger=_upload_limits(settings))
    app = ErrorBoundary(app)
    app = AccessLog(app, metrics=metrics, lines=settings.log.requests)
    return RequestId(app if tracing is None else TracedRequests(app, tracing))


async def _check_store(services: Services) -> None:
    """Check that jobs can be kept on the store as configured; an unreachable one is accepted: it may start later.

    Raises:
        StoreUnsuitable: The store is a cluster that its URL does not name, evicts keys, or has other shards.
        DurabilityRefused: It cannot do what ``jobs.durability`` asks for.
    """
    with suppress(StoreUnavailable, StoreConnectionError):
        redis = services.settings.redis
        is_cluster = redis.url is not None and names_cluster(redis.url.get_secret_value())
        await check_server(
            services.commands, allow_eviction=redis.allow_eviction, is_cluster=is_cluster, shards=redis.shards
        )
        await services.queue.check_durability()


def _connections(settings: Settings, url: str, shard: int) -> StoreConnections:
    return StoreConnections(
        commands=MultiplexedClient(
            url,
            timeout_s=STORE_TIMEOUT_S,
            connect_timeout_s=STORE_CONNECT_TIMEOUT_S,
            client_name="finops-api",
            shard=shard,
        ),
        durable=_durable_connection(settings, url, shard),
        subscription=partial(_subscription, url, shard),
    )


def _engine(settings: Settings, url: str, bodies: BodyPolicy) -> JobEngine:
    shards = [_connections(settings, url, shard) for shard in range(settings.redis.shards)]
    return build_engine(shards, QueueLimits.of(settings.jobs), bodies)


def _subscription(url: str, shard: int) -> Redis:
    return connect(
        url, connect_timeout_s=STORE_CONNECT_TIMEOUT_S, timeout_s=None, client_name="finops-api-waits", shard=shard
    )


def _inference(
    settings: Settings,
    metrics: Metrics,
    *,
    billing: Billing,
    store: SharedStore,
    environ: Mapping[str, str],
    tracing: Tracing | None,
) -> Inference:
    inference = build_inference(
        settings, environ, watch=metrics, cache_watch=metrics.cache, store=store, billing=billing, tracing=tracing
    )
    watch_providers(metrics.registry, inference.states)
    return inference


def build_services(
    settings: Settings,
    metrics: Metrics,
    *,
    environ: Mapping[str, str],
    admin_key: str | None = None,
    tracing: Tracing | None = None,
) -> Services:
    """Build the services of a process. Nothing is connected yet, so Redis may start later."""
    url = settings.redis.url.get_secret_value() if settings.redis.url else DEFAULT_REDIS_URL
    bodies = BodyPolicy.of(settings, metrics.blobs)
    engine = _engine(settings, url, bodies)
    commands, subscription = engine.shards[0].commands, engine.shards[0].subscription
    shared, billing = SharedStore(commands, subscription, bodies.cipher), build_billing(settings, commands, metrics)
    inference = _inference(settings, metrics, billing=billing, store=shared, environ=environ, tracing=tracing)
    sessions, ring = Sessions(commands), VirtualKeyCache(commands, settings, subscription)
    return Services(
        settings=settings,
        commands=commands,
        engine=engine,
        queue=engine.queue,
        store=engine.store,
        submitter=build_submitter(inference, engine.queue, engine.store, tracing, engine.settle),
        lanes=build_lanes(inference, billing, commands, settings),
        gathered=GatheredBatches(commands, settings.jobs.patience),
        events=engine.events,
        waiters=engine.waiters,
        inference=inference,
        governance=Authenticator(settings, admin_key=admin_key, ring=ring, sessions=sessions),
        metrics=metrics,
        keys=VirtualKeyStore(commands, settings),
        tokens=ApiTokens(commands),
        audit=Audit(commands),
        addresses=ClientAddresses(settings.server.trusted_proxies),
        key_attempts=LoginThrottle(burst=KEY_BURST, refill_s=KEY_REFILL_S),
        files=FileStore(commands, max_owner_bytes=settings.files.max_owner_bytes, bodies=bodies),
        batches=BatchStore(commands, bodies.cipher),
        schedules=ScheduleStore(commands, bodies.cipher),
        operations=engine.operations,
        pauses=engine.pauses,
        overview=engine.overview,
        sessions=sessions,
        openid=build_openid(settings.auth.oidc),
        deliveries=DeliveryStore(commands, settings.webhooks_delivery),
        webhook_secrets=WebhookSecrets(commands, settings),
        alert_rules=AlertRules(commands, settings.alerts),
        figures=FigureLoop(FigureWriter(commands, metrics.figures), enabled=uses_figures(settings.alerts.values())),
        prices=billing.price_refresh,
        tracing=tracing,
    )


def _durable_connection(settings: Settings, url: str, shard: int) -> PooledCommands | None:
    """Return a connection for submits that wait for disk or replicas; such a wait blocks its connection."""
    if settings.jobs.durability == "everysec":
        return None
    timeout_s = ANSWER_TIMEOUT_S[settings.jobs.durability]
    return PooledCommands(
        connect(
            url,
            timeout_s=timeout_s,
            connect_timeout_s=STORE_CONNECT_TIMEOUT_S,
            client_name="finops-api-disk",
            shard=shard,
        ),
        shard=shard,
    )


def _upload_limits(settings: Settings) -> dict[str, int]:
    """Batch files may be larger than other bodies; their endpoint refuses other large uploads itself."""
    most = max(settings.server.max_body_bytes, settings.files.max_bytes + MAX_FIELDS_BYTES)
    return {f"{prefix}/files": most for prefix in PREFIXES}
