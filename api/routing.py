"""Every route of the API."""

from functools import cache as kept

from fastapi import FastAPI
from starlette.routing import BaseRoute, Route

from api.admin import alerts as admin_alerts
from api.admin import audit as admin_audit
from api.admin import batches as admin_batches
from api.admin import cache as admin_cache
from api.admin import config as admin_config
from api.admin import console as admin_console
from api.admin import doctor as admin_doctor
from api.admin import jobs as admin_jobs
from api.admin import keys as admin_keys
from api.admin import lanes as admin_lanes
from api.admin import limits as admin_limits
from api.admin import operations as admin_operations
from api.admin import pauses as admin_pauses
from api.admin import price_data as admin_price_data
from api.admin import prices as admin_prices
from api.admin import runs as admin_runs
from api.admin import scale as admin_scale
from api.admin import schedules as admin_schedules
from api.admin import tokens as admin_tokens
from api.admin import usage as admin_usage
from api.admin import webhooks as admin_webhooks
from api.endpoints.base import AsgiEndpoint
from api.http.errors import ANTHROPIC_PREFIX, GENAI_PREFIX
from api.pages import docs, front
from api.routes import (
    anthropic,
    cache,
    console,
    genai,
    health,
    jobs,
    limits,
    models,
    operations,
    runs,
    schedules,
    sign_in,
    usage,
    webhooks,
)
from api.routes.async_jobs import PREFIX as ASYNC_PREFIX
from api.routes.async_jobs import AsyncPoll
from api.routes.batches import BatchById, BatchCreate, BatchList
from api.routes.deployments import AZURE_TYPES, read_deployment_request
from api.routes.files import FileById, FileList, FileUpload
from api.routes.inference import PREFIXES, InferenceEndpoint
from api.routes.passthrough import PassthroughEndpoint
from api.routes.responses import ResponseById
from shared.surfaces.request_types import REQUEST_TYPES

_ANY_METHOD = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

# One line each, so that two changes that add one do not meet.
_ROUTERS = (
    front.router,
    docs.router,
    health.router,
    admin_keys.router,
    admin_limits.router,
    admin_tokens.router,
    admin_jobs.router,
    admin_pauses.router,
    admin_schedules.router,
    admin_operations.router,
    admin_scale.router,
    admin_webhooks.router,
    admin_alerts.router,
    admin_usage.router,
    admin_audit.router,
    admin_cache.router,
    admin_runs.router,
    admin_batches.router,
    admin_prices.router,
    admin_lanes.router,
    admin_config.router,
    admin_price_data.router,
    admin_console.router,
    admin_doctor.router,
    schedules.router,
    operations.router,
    usage.router,
    limits.router,
    runs.router,
    cache.router,
    sign_in.router,
    console.router,
)


@kept
def all_routes() -> tuple[BaseRoute, ...]:
    """Return the routes, in the order in which they are tried.

    One set for all applications of a process: the framework analyses each group when it is first asked for, 20 ms in
    all, and a reload builds an application anew.
    """
    holder = FastAPI(openapi_url=None, redirect_slashes=False)
    _add_routes(holder)
    return tuple(holder.router.routes)


def _add_routes(app: FastAPI) -> None:
    """Add the routes; those that forward to a provider come last, so that the gateway's own have precedence."""
    app.include_router(jobs.router)
    app.include_router(webhooks.router)
    for request_type in REQUEST_TYPES:
        path = f"{ASYNC_PREFIX}/{request_type.path}/{{job_id}}"
        _add(app, path, AsyncPoll(request_type), ["GET"])
        _add(app, f"{path}/content", AsyncPoll(request_type, content=True), ["GET"])
    app.include_router(anthropic.router, prefix=f"{ANTHROPIC_PREFIX}v1")
    _add_genai_routes(app)
    for router in _ROUTERS:
        app.include_router(router)
    for request_type in AZURE_TYPES:
        path = f"/openai/deployments/{{deployment:path}}/{request_type.path}"
        _add(app, path, InferenceEndpoint(request_type, read_deployment_request), ["POST"])
    for prefix in sorted(PREFIXES, key=len, reverse=True):
        app.include_router(models.router, prefix=prefix)
        _add_response_routes(app, prefix)
        _add_batch_routes(app, prefix)
        _add(app, f"{prefix}/{{rest:path}}", PassthroughEndpoint(prefix), _ANY_METHOD)


def _add_genai_routes(app: FastAPI) -> None:
    """Every version of the Gemini API, and Vertex AI's paths for the same methods."""
    for version in genai.VERSIONS:
        prefix = f"{GENAI_PREFIX}{version}"
        app.include_router(genai.router, prefix=prefix)
        for parent in genai.PATHS:
            _add(app, f"{prefix}{parent}/models/{{name:path}}", genai.ModelEndpoint(), ["POST"])


def _add_response_routes(app: FastAPI, prefix: str) -> None:
    passthrough = PassthroughEndpoint(prefix)
    path = f"{prefix}/responses/{{response_id}}"
    _add(app, path, ResponseById("retrieve", passthrough), ["GET"])
    _add(app, path, ResponseById("delete", passthrough), ["DELETE"])
    _add(app, f"{path}/cancel", ResponseById("cancel", passthrough), ["POST"])
    _add(app, f"{path}/input_items", ResponseById("input_items", passthrough), ["GET"])


def _add_batch_routes(app: FastAPI, prefix: str) -> None:
    passthrough = PassthroughEndpoint(prefix)
    files, batches = f"{prefix}/files", f"{prefix}/batches"
    _add(app, files, FileUpload(passthrough), ["POST"])
    _add(app, files, FileList(passthrough), ["GET"])
    _add(app, f"{files}/{{file_id}}", FileById("retrieve", passthrough), ["GET"])
    _add(app, f"{files}/{{file_id}}", FileById("delete", passthrough), ["DELETE"])
    _add(app, f"{files}/{{file_id}}/content", FileById("content", passthrough), ["GET"])
    _add(app, batches, BatchCreate(passthrough), ["POST"])
    _add(app, batches, BatchList(passthrough), ["GET"])
    _add(app, f"{batches}/{{batch_id}}", BatchById("retrieve", passthrough), ["GET"])
    _add(app, f"{batches}/{{batch_id}}/cancel", BatchById("cancel", passthrough), ["POST"])


def _add(app: FastAPI, path: str, endpoint: AsgiEndpoint, methods: list[str]) -> None:
    app.router.routes.append(Route(path, endpoint, methods=methods, include_in_schema=False))
